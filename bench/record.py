"""A bench that can be stopped: rows are written as they are measured, and what stands there for the present state of the code is not measured again"""
import argparse, ast, hashlib, json, platform
from functools import cache
from fcntl import LOCK_EX, flock
from pathlib import Path
import numpy as np, pandas as pd, torch
import cvkit
from cvkit.core import chip, seed_all

def bare(source):
    "A tree of what `source` does: without comments, docstrings and decorators"
    t = ast.parse(source)
    for o in ast.walk(t):
        if isinstance(o, (ast.Module, ast.ClassDef, ast.FunctionDef)): o.body = [b for b in o.body if not (isinstance(b, ast.Expr) and isinstance(b.value, ast.Constant))]
        if hasattr(o, 'decorator_list'): o.decorator_list = []
    return t

def plain(o):
    "A tree as nested tuples, the same under each version of Python"
    if isinstance(o, list): return [*map(plain, o)]
    return (type(o).__name__, *((k, plain(v)) for k,v in ast.iter_fields(o) if v not in (None, []))) if isinstance(o, ast.AST) else o

@cache
def file_tree(file):
    "The same of a file that does not change meanwhile"
    return plain(bare(Path(file).read_text()))

@cache
def file_text(file): return repr(file_tree(file))

def row(what, ours, peer, unit, goal, met, more=True):
    "A row of the table, from one number for each repeat of ours and of the peer; without a peer where that is `None`. The ratio is that of the means. `met` is `None` where there is no goal"
    ours = np.array(ours, float)
    out = dict(what=what, ours=round(float(ours.mean()), 4), peer=None, unit=unit, ratio=None, spread=None, n=len(ours), goal=goal)
    if peer is None: return dict(out, met=met and bool(met(ours)))
    peer = np.array(peer, float)
    with np.errstate(divide='ignore', invalid='ignore'): each,ratio = ((a/b) if more else (b/a) for a,b in ((ours,peer),(ours.mean(),peer.mean())))
    return dict(out, peer=round(float(peer.mean()), 4), ratio=round(float(ratio), 2) if np.isfinite(ratio) else None, spread=f'{np.nanmin(each):.2f} to {np.nanmax(each):.2f}', met=met and bool(met(ours.mean(), peer.mean())))

def count(what, kept, goal='all'):
    "A row that counts for how many repeats something holds: `kept`, a truth each"
    return dict(what=what, ours=f'{sum(kept)} of {len(kept)}', peer=None, unit='runs', ratio=None, spread=None, n=len(kept), goal=goal, met=all(kept))

class Bench:
    "Jobs of one file and what came of them"
    def __init__(self,
        file,    # `__file__` of the bench; results are written beside it as JSON
        summary, # From raw results to the rows of the table
        *more    # Files with functions that its jobs call
    ):
        self.file,self.summary,self.jobs = Path(file).resolve(),summary,{}
        self.results = self.file.with_suffix('.json')
        self.here = {o.name: o for f in (*more, file) for o in bare(Path(f).read_text()).body if isinstance(o, (ast.FunctionDef, ast.ClassDef))}

    def called(self, name, seen):
        "What the function `name` does, and all in these files that it names, as the text of an argument as well"
        if name not in self.here or name in seen: return
        seen.add(name)
        yield plain(self.here[name])
        for o in ast.walk(self.here[name]):
            if isinstance(o, ast.Name): yield from self.called(o.id, seen)
            if isinstance(o, ast.Constant) and isinstance(o.value, str) and o.value not in self.jobs:
                yield from self.called(o.value, seen)
                if o.value.endswith('.py'): yield file_tree(self.file.with_name(o.value))

    def code(self, name, arm):
        "A number that changes with what is measured"
        j = self.jobs[name]
        modules = ', '.join(file_text(Path(cvkit.__file__).parent/f'{m}.py') for m in j['modules'])
        return hashlib.sha1(f"([{modules}], {[*self.called(name, set())]!r}, {j['arms'][arm]!r})".encode()).hexdigest()[:12]

    def job(self, arms, *modules, **same):
        "Register a function of (arguments, seed, **same, **arm) that gives scores; `modules` are what it measures"
        def add(f): self.jobs[f.__name__] = dict(run=f, arms=arms, modules=modules, same=same); return f
        return add

    def present(self, o):
        "Whether `o` was measured in the present state of the code"
        j = self.jobs.get(o['job'])
        return bool(j) and o['arm'] in j['arms'] and all(o.get(k)==v for k,v in dict(j['same'], code=self.code(o['job'], o['arm'])).items())

    def arms(self, raw):
        "Means over the seeds of the jobs that are scored on held-out and on test rows"
        df = pd.DataFrame([dict(o, present=self.present(o)) for o in raw if 'valid' in o], columns=['job','chip','arm','valid','test','seed','seconds','present'])
        return df.groupby(['job','chip','arm'], sort=False).agg(valid=('valid','mean'), test=('test','mean'), least=('test','min'), most=('test','max'), seeds=('seed','nunique'), seconds=('seconds','mean'), present=('present','all')).round(4)

    def measured(self): return json.loads(self.results.read_text())['raw'] if self.results.exists() else []

    def add(self, result):
        "Write one more result, beside whatever another process wrote meanwhile"
        with open(self.file) as lock:
            flock(lock, LOCK_EX)
            self.write([o for o in self.measured() if any(o[k]!=result[k] for k in ('job','arm','seed','chip'))]+[result])

    def write(self, raw):
        new = self.results.with_suffix('.new')
        new.write_text(json.dumps(dict(machine=platform.machine(), rows=self.summary(raw), arms=self.arms(raw).reset_index().to_dict('records'), raw=raw), indent=1)+'\n')
        new.replace(self.results)

    def parser(self):
        p = argparse.ArgumentParser()
        p.add_argument('data', type=Path); p.add_argument('answers', type=Path); p.add_argument('weights', type=Path)
        p.add_argument('jobs', nargs='*', choices=[[], *self.jobs], default=[]); p.add_argument('--seeds', type=int, default=3); p.add_argument('--seed', type=int, nargs='*', help='these alone'); p.add_argument('--arms', nargs='*')
        p.add_argument('--scratch', type=Path, default=Path('.'), help='folder for what is written meanwhile')
        return p

    def run(self, a, on=None, **more):
        "Measure what is missing of what `a` asks for `on` this chip, and print the tables"
        for seed in a.seed or range(a.seeds):
            for name in a.jobs or self.jobs:
                j = self.jobs[name]
                for arm,kw in j['arms'].items():
                    key = dict(job=name, arm=arm, seed=seed, chip=on or chip().name, code=self.code(name, arm), **j['same'])
                    if a.arms and arm not in a.arms or any(all(o.get(k)==v for k,v in key.items()) for o in self.measured()): continue
                    seed_all(seed)
                    self.add(dict(key, **j['run'](a, seed, **j['same'], **kw), threads=torch.get_num_threads(), **more))
                    print(self.measured()[-1], flush=True)
        raw = self.measured()
        print(self.arms(raw).to_string()); print(pd.DataFrame(self.summary(raw)).to_string(index=False))
