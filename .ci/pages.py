"""The notebooks as pages:  python .ci/pages.py readme | docs

readme   nbs/index.ipynb -> README.md, its pictures in nbs/images/
docs     every notebook -> _docs/NAME.html
"""
import posixpath, re, sys
from pathlib import Path
import nbformat
from nbconvert import HTMLExporter, MarkdownExporter

ROOT = Path(__file__).resolve().parent.parent
IMAGES = 'nbs/images'

def notebooks(root=ROOT):
    "All notebooks that are pages and tests, in the order of their numbers"
    hidden = lambda p: any(part[0] in '._' for part in p.relative_to(root/'nbs').parts)
    return sorted(p for p in (root/'nbs').rglob('*.ipynb') if not hidden(p))

def title(nb):
    "Title and subtitle of a notebook: the first lines with `# ` and `> `"
    text = '\n'.join(c.source for c in nbformat.read(nb, 4).cells if c.cell_type=='markdown')
    return [m[1].strip() if (m := re.search(rf'^{mark} (.+)$', text, re.M)) else '' for mark in '#>']

def _directives(cell): return {m[1]: m[2] for m in re.finditer(r'^#\s*\|\s*([\w-]+):?[ \t]*(.*)$', cell.source, re.M)}

def _shown(out):
    "One output as a README can show it, or None: plain text before HTML, and no leftovers of progress bars"
    data = out.get('data', {})
    if 'text/html' in data:
        if data.get('text/plain', '<IPython').startswith('<IPython'): data.pop('text/plain', None)
        else: del data['text/html']
    if 'text/html' in data:
        data['text/html'] = re.sub(r'<style.*?</style>\s*', '', data['text/html'], flags=re.S)
        if not re.sub(r'<[^>]*>|\s', '', data['text/html']): return None
    return out

def _visible(nb):
    "The cells a reader sees, without directives"
    for cell in nb.cells:
        if cell.cell_type=='code':
            said = _directives(cell)
            if said.keys() & {'hide', 'default_exp'} or said.get('include')=='false': continue
            code = re.sub(r'^#\s*\|.*\n?', '', cell.source, flags=re.M).strip()
            cell.source = '' if said.get('echo')=='false' else code
            cell.outputs = [o for o in map(_shown, cell.outputs) if o]
        yield cell

def _from_root(text):
    "Links relative to nbs/ made relative to the root"
    return re.sub(r'\]\((?!\w+:|[#/])([^)\s]+)', lambda m: f']({posixpath.normpath("nbs/"+m[1])}', text)

def readme(root=ROOT):
    "README and its pictures: a dict of path -> bytes"
    nb = nbformat.read(root/'nbs/index.ipynb', 4)
    nb.cells = list(_visible(nb))
    for cell in nb.cells:
        if cell.cell_type=='markdown': cell.source = _from_root(cell.source)
        for out in cell.get('outputs', []):
            data = out.get('data', {})
            if 'text/markdown' in data: data['text/markdown'] = _from_root(data['text/markdown'])
    text, res = MarkdownExporter().from_notebook_node(nb, dict(output_files_dir=IMAGES, unique_key='index'))
    text = re.sub(r'^```(python)?\s*```$', '', text, flags=re.M)
    text = re.sub(r'[ \t]+$', '', text, flags=re.M)
    return {'README.md': re.sub(r'\n{3,}', '\n\n', text).strip().encode()+b'\n', **res.get('outputs', {})}

def write_readme():
    for old in (ROOT/IMAGES).glob('index_*'): old.unlink()
    for name,data in readme().items():
        (ROOT/name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT/name).write_bytes(data)
    print("README.md is made from nbs/index.ipynb")

def docs(out=ROOT/'_docs'):
    "One HTML page for each notebook; returns the pages"
    pages = []
    for p in notebooks():
        page = (out/p.relative_to(ROOT/'nbs')).with_suffix('.html')
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(HTMLExporter().from_filename(str(p))[0], encoding='utf-8')
        pages.append(page)
    return pages

if __name__=='__main__':
    job = sys.argv[1] if len(sys.argv)==2 else ''
    if job=='readme': write_readme()
    elif job=='docs': print(f"{len(docs())} pages in _docs")
    else: sys.exit(__doc__)
