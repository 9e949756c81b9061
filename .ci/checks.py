"""Every check of this repository.  python .ci/checks.py [--list] [NAME ...]

`make test` runs them all. A NAME is a check (`clean`), a notebook on a set of versions (`kaggle:00_core`), or a whole
set (`current:`).
Nothing is written into the working tree. The last line is the count; any failure makes the exit status 1.
"""
import ast, os, re, shutil, subprocess, sys, sysconfig, tempfile, time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pages import ROOT, docs, notebooks, readme, title

BIN = Path(sys.executable).parent
SETS = dict(kaggle=(BIN/'nbdev_test', '--flags', 'slow', '--path'), current=(ROOT/'.venv-current/bin/nbdev-test',))
ENV = dict(os.environ, OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', PYTHONDONTWRITEBYTECODE='1')

class Broken(Exception): "A check that failed, in words for a contributor"

def run(*cmd, cwd=ROOT, code=0, minutes=15):
    "Output of `cmd`, which must end with status `code`"
    cmd = [str(o) for o in cmd]
    try: p = subprocess.run(cmd, cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors='replace', timeout=minutes*60)
    except subprocess.TimeoutExpired: raise Broken(f"`{' '.join(cmd)}` ran for more than {minutes} minutes") from None
    if p.returncode!=code: raise Broken(f"`{' '.join(cmd)}` ended with {p.returncode}, not {code}\n{p.stdout[-6000:]}")
    return p.stdout

@contextmanager
def copied():
    "A copy of what is packaged and exported, to change freely"
    with tempfile.TemporaryDirectory() as d:
        for name in ('nbs', 'cvkit'):
            shutil.copytree(ROOT/name, Path(d)/name, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
        for pattern in ('*.md', '*.toml', '*.ini', '*.in', 'setup.py', 'LICENSE'):
            for p in ROOT.glob(pattern): shutil.copy2(p, d)
        yield Path(d)

def changed(copy, *patterns):
    "Files matching `patterns` that differ between the working tree and `copy`"
    made = lambda root: {str(p.relative_to(root)): p.read_bytes() for pattern in patterns for p in root.glob(pattern)}
    ours,theirs = made(ROOT), made(copy)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name)!=theirs.get(name))

def sources(p): return [c.source for c in nbformat.read(p, 4).cells if c.cell_type=='code']

def module(p):
    "The module a notebook exports to, or None"
    return next((m[1] for src in sources(p) if (m := re.search(r'^#\s*\|\s*default_exp\s+(\S+)', src, re.M))), None)

def imports(tree):
    "Full names of all that is imported anywhere in `tree`, relative imports left out"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f'{node.module}.{a.name}' for a in node.names)

def rooms_used(src, rooms):
    "The modules of cvkit that a cell imports; for an unknown one its full name"
    for name in imports(ast.parse(re.sub(r'^\s*[%!].*$', '', src, flags=re.M))):
        if name.startswith('cvkit.'):
            yield max((m for m in rooms if f'{name}.'.startswith(f'cvkit.{m}.')), key=len, default=name)

def check_clean():
    "As nbdev_clean leaves them, and without what was written to stderr: it tells of one machine"
    if told := [p.name for p in notebooks() if any(o.get('name')=='stderr' for c in nbformat.read(p, 4).cells for o in c.get('outputs', []))]:
        raise Broken(f"outputs on stderr in {', '.join(told)}; clear those outputs")
    with copied() as d:
        run(BIN/'nbdev_clean', cwd=d)
        if dirty := changed(d, 'nbs/**/*.ipynb'): raise Broken(f"not clean: {', '.join(dirty)}; run `make export`")

def check_export():
    with copied() as d:
        run(BIN/'nbdev_export', cwd=d)
        if stale := changed(d, 'cvkit/**/*.py', 'pyproject.toml'):
            raise Broken(f"differ from their notebooks: {', '.join(stale)}; run `make export`")
    made = {m.replace('.', '/')+'.py' for p in notebooks() if (m := module(p))}
    lib = ROOT/'cvkit'
    there = {p.relative_to(lib).as_posix() for p in lib.rglob('*.py') if p.stem not in ('__init__', '_modidx')}
    if there-made: raise Broken(f"modules without a notebook: {', '.join(sorted(there-made))}")

def check_arrows():
    number = lambda p: re.match(r'(\d\d[a-z]?)_', p.name) # 32, 32a, 33
    rooms = {module(p): p for p in notebooks() if number(p) and module(p)}
    place = {m: number(p)[1] for m,p in rooms.items()}
    count = Counter(place.values())
    bad = [f"another notebook has the number of {p.name}" for m,p in rooms.items() if count[place[m]]>1]
    for m,p in rooms.items():
        for other in {o for src in sources(p) for o in rooms_used(src, rooms)} - {m}:
            if other not in place: bad.append(f"{p.name} imports {other}, which no numbered notebook makes")
            elif place[other]>place[m]: bad.append(f"{p.name} imports upwards: cvkit.{other} of {rooms[other].name}")
    if not rooms: bad.append("no numbered notebook was found")
    if bad: raise Broken('\n'.join(sorted(bad)))

def check_readme():
    made = readme()
    stale = [name for name,data in made.items() if not (ROOT/name).exists() or (ROOT/name).read_bytes()!=data]
    stale += [p.name for p in (ROOT/'nbs/images').glob('index_*') if p.relative_to(ROOT).as_posix() not in made]
    if stale: raise Broken(f"not as nbs/index.ipynb makes them: {', '.join(stale)}; run `make readme`")
    text = made['README.md'].decode()
    if absent := [p.name for p in notebooks() if p.stem!='index' and not (p.name in text and title(p)[1] and title(p)[1] in text)]:
        raise Broken(f"the README's table lacks {', '.join(absent)} or a subtitle: run index.ipynb, then `make readme`")
    links = [m for m in re.findall(r'\]\((?!\w+:|#)([^)\s#]+)', text) if not (ROOT/m).exists()]
    if links: raise Broken(f"the README links to what is not there: {', '.join(links)}")

def check_docs():
    with tempfile.TemporaryDirectory() as d:
        pages = docs(Path(d))
        if len(pages)!=len(notebooks()) or not all(p.stat().st_size for p in pages):
            raise Broken("a page is missing or empty")

EXTRAS = 'fast_', 'formats_', 'parallel_', 'cluster_', 'noise_', 'index_', 'tpu_' # cvkit does without them

def required(*kinds):
    "The requirements of `kinds` as settings.ini has them"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(ROOT/'settings.ini')
    return ' '.join(cfg['DEFAULT'].get(f'{o}requirements', '') for o in kinds).split()

def needed(names):
    "Distributions that `names` bring with them, themselves included"
    todo,seen = list(names), set()
    while todo:
        req = Requirement(todo.pop())
        name = canonicalize_name(req.name)
        if name in seen or req.marker and not req.marker.evaluate({'extra': ''}): continue
        seen.add(name)
        with suppress(PackageNotFoundError): todo += distribution(name).requires or [] # an extra with an environment of its own
    return seen

def check_requires():
    "What the modules import, also inside functions, is declared in settings.ini or comes with what is"
    declared = needed(required('', 'pip_', 'demo_', *EXTRAS))
    owners,bad = packages_distributions(), []
    for p in sorted((ROOT/'cvkit').rglob('*.py')):
        tops = {name.partition('.')[0] for name in imports(ast.parse(p.read_text()))}-sys.stdlib_module_names-{'cvkit'}
        bad += [f"{p.relative_to(ROOT)} imports {top}, which settings.ini does not require" for top in sorted(tops)
                if not {canonicalize_name(o) for o in owners.get(top, [top])} & declared]
    if bad: raise Broken('\n'.join(bad))

ALONE = """import importlib, sys
sys.modules.update(dict.fromkeys({without}))
for name in {names}:
    for o in [o for o in sys.modules if o.partition('.')[0]=='cvkit']: del sys.modules[o]
    assert 'empty' in importlib.import_module(name).__file__, name"""

def check_wheel():
    "The wheel, in an environment that has the requirements and no cvkit: every module imports by itself and without the extras, the command works"
    with copied() as d:
        run(sys.executable, '-m', 'build', '--outdir', d/'dist', cwd=d)
        run(sys.executable, '-m', 'venv', d/'empty')
        py,site = d/'empty/bin/python', next((d/'empty/lib').glob('python*/site-packages'))
        (site/'borrowed.pth').write_text(sysconfig.get_path('purelib')+'\n')
        run(py, '-m', 'pip', 'install', '--quiet', '--no-deps', '--ignore-installed', *(d/'dist').glob('*.whl'))
        names = ['cvkit']+[f'cvkit.{m}' for p in notebooks() if (m := module(p))]
        extras = {canonicalize_name(Requirement(o).name) for o in required(*EXTRAS)}
        without = [top for top,owners in packages_distributions().items() if {*map(canonicalize_name, owners)} & extras]
        run(py, '-c', ALONE.format(names=names, without=without), cwd=d/'dist')
        command(d/'empty/bin', d/'dist')

def command(bin, cwd):
    "`cvkit_run` as a user types it: on a tiny competition, and on a folder that is not there"
    run(bin/'python', '-c', "from cvkit.testing import tiny_competition; tiny_competition('tiny')", cwd=cwd)
    run(bin/'cvkit_run', 'tiny', '--arch', 'test_resnet', '--weights', 'none', '--epochs', '1', '--size', '32', '--out', 'submission.csv', cwd=cwd)
    ids = lambda csv: [row.split(',')[0] for row in (cwd/csv).read_text().splitlines()]
    if ids('submission.csv')!=ids('tiny/sample_submission.csv'):
        raise Broken("the submission's ids are not those of the sample")
    said = run(bin/'cvkit_run', 'nowhere', '--out', 'none.csv', cwd=cwd, code=2)
    if 'Traceback' in said: raise Broken(f"a missing folder gives a traceback\n{said}")

def test_notebook(p, *cmd):
    if 'Success.' not in (said := run(*cmd, p)): raise Broken(f"nbdev tested nothing\n{said}")

def jobs():
    "Name -> job, for every check and every notebook on every set"
    checks = {name[6:]: func for name,func in globals().items() if name.startswith('check_')}
    name = lambda p: p.relative_to(ROOT/'nbs').with_suffix('')
    tests = {f'{group}:{name(p)}': partial(test_notebook, p, *cmd) for group,cmd in SETS.items() for p in notebooks()}
    return checks | tests

def timed(job):
    begun = time.monotonic()
    try: job(); why = None
    except Exception as e: why = str(e) if isinstance(e, Broken) else f'{type(e).__name__}: {e}'
    return why, time.monotonic()-begun

def main(wanted):
    if '--list' in wanted: return print('\n'.join(jobs()))
    todo = {name: job for name,job in jobs().items() if not wanted or {name, name.partition(':')[0]+':'} & set(wanted)}
    failed = [o for o in wanted if not any({name, name.partition(':')[0]+':'} & {o} for name in todo)]
    for name in failed: print(f"FAILED there is no check {name}")
    with ThreadPoolExecutor(2) as pool:
        names = {pool.submit(timed, job): name for name,job in todo.items()}
        for done in as_completed(names):
            why,secs = done.result()
            print(f"{'FAILED' if why else 'ok':6} {secs:6.1f} s  {names[done]}", flush=True)
            if why: failed.append(names[done]); print('    '+why.strip().replace('\n', '\n    '), flush=True)
    if failed: print('Failed: '+', '.join(failed))
    print(f"{len(set(todo)-set(failed))} passed, {len(failed)} failed", flush=True)
    return int(bool(failed) or not todo)

if __name__=='__main__': sys.exit(main(sys.argv[1:]))
