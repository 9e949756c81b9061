"""The input path of cvkit against plain fastai and the bare libraries: the same pictures, the same work, one machine, in turn.

    python bench/pixels.py [ROW ...] [--repeats 5]

Draws its own photos. `bench/pixels.json` is written after every row. A row that stands there is measured again only when its code or a module that it
measures has changed, or when it is named.
"""
import argparse, hashlib, inspect, io, json, os, platform, subprocess, sys, tempfile, time
from functools import cache, partial
from multiprocessing import active_children
from pathlib import Path
os.environ['OMP_NUM_THREADS'] = '1'
import numpy as np, pandas as pd, torch
from fastai.vision.all import ImageDataLoaders, Normalize, PILImage, RandomResizedCrop, Resize, ResizeMethod, aug_transforms, imagenet_stats
from PIL import Image
import cvkit, cvkit.loaders
from cvkit.augment import Augment
from cvkit.data import Competition
from cvkit.learner import set_norm
from cvkit.testing import draw_photo

RESULTS = Path(__file__).resolve().with_name('pixels.json')
HOME    = Path(tempfile.gettempdir())/'cvkit_bench'
LARGE   = 64, (1600,1200)
MANY    = 520, (1600,1200)
SMALL   = 12808, (256,192)
DRAWN   = {LARGE[1]: 64, SMALL[1]: 640} # photos; the others are links to them
HELD    = 8 # rows that are no part of the timed loader
ROWS    = {}

def row(name, what, unit, goal, modules, pairs, reached=lambda ratio: True, more=True, limit=np.inf, most=99):
    "Register `pairs`, a function of the number of repeats that yields one pair (ours, peer) each; `modules` are what it measures"
    text = inspect.getsource(getattr(pairs, 'func', pairs)) + ''.join((Path(cvkit.__file__).parent/f'{m}.py').read_text() for m in modules.split())
    ROWS[name] = dict(what=what, unit=unit, goal=goal, pairs=pairs, reached=reached, more=more, limit=limit, most=most, code=hashlib.sha1(text.encode()).hexdigest()[:12])

def measure(name, repeats):
    "A row of the table; its first pair warms up and is thrown away"
    r = ROWS[name]
    repeats = min(repeats, r['most'])
    ours,peer = np.array([*r['pairs'](repeats+1)][1:], dtype=float).T
    ratio = ours/peer if r['more'] else peer/ours
    return dict(row=name, what=r['what'], ours=round(float(np.median(ours)), 2), peer=round(float(np.median(peer)), 2), unit=r['unit'], ratio=round(float(np.median(ratio)), 2),
                spread=f'{ratio.min():.2f} to {ratio.max():.2f}', n=repeats, goal=r['goal'], met=bool(r['reached'](np.median(ratio)) and (r['more'] or np.median(ours)<=r['limit'])), code=r['code'])

@cache
def photos(n, size):
    "A competition of `n` drawn photos of `size`, JPEG of quality 90, in four classes"
    home = HOME/f'photos_{n}_{size[0]}x{size[1]}'
    if not (home/'train.csv').exists():
        (home/'train_images').mkdir(parents=True, exist_ok=True)
        drawn = DRAWN[size]
        for i in range(min(n, drawn)): draw_photo(size, i).save(home/f'train_images/{i:04d}.jpg', quality=90)
        for i in range(drawn, n): os.link(home/f'train_images/{i%drawn:04d}.jpg', home/f'train_images/{i:04d}.jpg')
        pd.DataFrame(dict(image=[f'{i:04d}.jpg' for i in range(n)], label=[f'class {i%4}' for i in range(n)])).to_csv(home/'train.csv', index=False)
    return home

def ours(home, size, workers, train=False, **kw):
    "All images of `home` but `HELD` as one loader of float batches, normalised, as for validation or as for training"
    comp = Competition(home)
    held = pd.Series((np.arange(len(comp.train))<HELD)==train, index=comp.train.index)
    dls = comp.dataloaders(size, 64 if train else 4, valid=held, bs_valid=16, num_workers=workers, **kw).to('cpu')
    set_norm(dls, dict(zip(('mean','std'), imagenet_stats)))
    return dls.loaders[not train]

def plain(home, size, workers, train=False, item_tfms=None, batch_tfms=()):
    "The same by plain fastai"
    df = pd.read_csv(home/'train.csv')
    df['valid'] = (np.arange(len(df))<HELD)==train
    dls = ImageDataLoaders.from_df(df, home, folder='train_images', fn_col='image', label_col='label', valid_col='valid', bs=64 if train else 4, val_bs=16, num_workers=workers, device='cpu',
                                   item_tfms=item_tfms or Resize(size, ResizeMethod.Squish), batch_tfms=[*batch_tfms, Normalize.from_stats(*imagenet_stats, cuda=False)])
    return dls.loaders[not train]

def speed(work):
    "Pictures a second of `work`, an iterable of batches"
    begun = time.perf_counter()
    return sum(map(len, work))/(time.perf_counter()-begun)

def images(dl): return (b[0] for b in dl)

def decoders(least):
    "Bare decoders of JPEG bytes that leave at least `least` pixels a side, as far as their libraries are there"
    def full(b): return np.asarray(Image.open(io.BytesIO(b)).convert('RGB'))
    def draft(b):
        (img := Image.open(io.BytesIO(b))).draft(None, (least,least))
        return np.asarray(img)
    found = {'Pillow, full': full, 'Pillow, draft': draft}
    try:
        from simplejpeg import decode_jpeg
        found['simplejpeg'] = lambda b: decode_jpeg(b, 'RGB', min_width=least, min_height=least)
    except ImportError: pass
    try:
        import cv2
        cv2.setNumThreads(0)
        found['OpenCV, a quarter'] = lambda b: cv2.imdecode(np.frombuffer(b, np.uint8), cv2.IMREAD_REDUCED_COLOR_4)
    except ImportError: pass
    from torchvision.io import ImageReadMode, decode_jpeg as torchvision
    found['torchvision, full'] = lambda b: torchvision(torch.frombuffer(bytearray(b), dtype=torch.uint8), ImageReadMode.RGB)
    return found

def cold(workers, repeats):
    "Large photos from their files, against plain fastai"
    home = photos(*LARGE)
    a,b = ours(home, 224, workers), plain(home, 224, workers)
    for _ in range(repeats): yield speed(images(a)), speed(images(b))

def bare(repeats):
    "Large photos from their files to normalised batches, against the best of the bare decoders"
    home = photos(*LARGE)
    dl, files = ours(home, 224, 0), [p.read_bytes() for p in sorted((home/'train_images').glob('*.jpg'))[HELD:]]
    for _ in range(repeats): yield speed(images(dl)), max(speed([f(b)] for b in files) for f in decoders(224).values())

def warm(workers, repeats):
    "Large photos from the pixel cache, against plain fastai, which decodes them in every epoch"
    home = photos(*MANY)
    a,b = ours(home, 224, workers, cache=256),plain(home, 224, workers)
    for _ in range(repeats): yield speed(images(a)), speed(images(b))

CROP = dict(crop=.65, stretch=1/3)

def crops(workers, repeats):
    "Small photos to random resized crops, from a warm cache, against plain fastai"
    home = photos(*SMALL)
    a = ours(home, 128, workers, train=True, cache=192, preset=Augment('none', **CROP))
    b = plain(home, 128, workers, train=True, item_tfms=RandomResizedCrop(128, min_scale=.35))
    for _ in range(repeats): yield speed(images(a)), speed(images(b))

def changes(workers, repeats):
    "The same with what fastai's `aug_transforms` does: mirrored, turned by up to 10 degrees, zoomed by 10 %, bent by .2, brightness and contrast by .2"
    home = photos(*SMALL)
    a = ours(home, 128, workers, train=True, cache=192, preset=Augment('none', **CROP, flip=.5, rotate=10, zoom=.1, perspective=.2, brightness=.2, contrast=.2))
    b = plain(home, 128, workers, train=True, item_tfms=RandomResizedCrop(128, min_scale=.35), batch_tfms=aug_transforms())
    for _ in range(repeats): yield speed(images(a)), speed(images(b))

def rows(n):
    "A competition of `n` rows, which of them are held out, and the same as a table for fastai"
    comp = Competition(photos(*SMALL))
    names = [f'{i%SMALL[0]:04d}.jpg' for i in range(n)]
    df = pd.DataFrame(dict(image=names, label=np.resize(comp.classes, n)))
    comp.train = df.set_axis(pd.Index([f'{i:07d}' for i in range(n)], name=comp.id)).assign(image=[f'{comp.path}/train_images/{o}' for o in names])
    df['valid'] = np.arange(n)%5==0
    return comp, pd.Series(df.valid.to_numpy(), index=comp.train.index), df

def from_df(df, home, size, **kw): return ImageDataLoaders.from_df(df, home, folder='train_images', fn_col='image', label_col='label', valid_col='valid', item_tfms=Resize(size), device='cpu', **kw)

def million(repeats):
    "Seconds until loaders of a million rows are ready"
    comp,held,df = rows(10**6)
    for _ in range(repeats):
        begun = time.perf_counter(); comp.dataloaders(128, 64, valid=held, num_workers=0); mine = time.perf_counter()-begun
        begun = time.perf_counter(); from_df(df, comp.path, 128, bs=64, num_workers=0)
        yield mine, time.perf_counter()-begun

def growth(what):
    "MB a worker by which 4 loader processes grow in an epoch of 800,000 rows, all reading one and the same small image"
    comp,held,df = rows(10**6)
    grey = PILImage.create(np.full((8,8,3), 128, np.uint8))
    if what=='ours': cvkit.loaders.open_image = lambda *_: grey; dls = comp.dataloaders(8, 256, valid=held, num_workers=4)
    else:            PILImage.create = lambda *_, **__: grey; dls = from_df(df, comp.path, 8, bs=256, num_workers=4)
    def private(): return np.mean([sum(int(l.split()[1]) for l in Path(f'/proc/{p.pid}/smaps_rollup').read_text().splitlines() if l.startswith('Private_Dirty'))/1024 for p in active_children()])
    last, seen = len(dls.train)-9, []
    for i,_ in enumerate(dls.train):
        if i in (8, last): seen.append(private())
    return seen[1]-seen[0]

def memory(repeats):
    "Both in processes of their own"
    def run(what): return float(subprocess.run([sys.executable, __file__, '--growth', what], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.split()[-1])
    for _ in range(repeats): yield run('ours'), run('fastai')

def sizes(size, repeats):
    "An epoch at `size`, against one at 224 px"
    home = photos(*LARGE)
    a,b = ours(home, size, 0), ours(home, 224, 0)
    for _ in range(repeats): yield speed(images(a)), speed(images(b))

for w in (0,2): row(f'cold_{w}', f'large photos to 224 px, cold, {w} workers, against plain fastai', 'images/s', 'at least 2.2x', 'files resample pixels loaders', partial(cold, w), lambda r: r>=2.2)
row('bare', 'large photos to 224 px, cold, one core, against the best bare decoder', 'images/s', 'at least 0.9x', 'files resample pixels loaders', bare, lambda r: r>=.9)
for w in (0,2): row(f'warm_{w}', f'the same in later epochs, from the pixel cache, {w} workers', 'images/s', 'the speed of the cache', 'files resample pixels cache loaders', partial(warm, w), lambda r: r>2.2)
for w in (0,2): row(f'crops_{w}', f'small photos from the pixel cache to random resized crops at 128 px, {w} workers', 'images/s', 'at least 10x', 'resample augment pixels cache loaders', partial(crops, w), lambda r: r>=10)
for w in (0,2): row(f'changes_{w}', f'the same with turns, bends and light, {w} workers', 'images/s', 'at least 5x', 'resample augment pixels cache loaders', partial(changes, w), lambda r: r>=5)
row('million', 'loaders for 1,000,000 rows', 's', 'at most 2 s', 'loaders data', million, more=False, limit=2)
row('memory', 'private memory that each of 4 workers gains in an epoch of 800,000 rows', 'MB', 'none: below 5 MB', 'loaders', memory, more=False, limit=5, most=2)
for s in (64,128): row(f'size_{s}', f'an epoch of large photos at {s} px, against one at 224 px', 'images/s', 'faster', 'files resample pixels loaders', partial(sizes, s), lambda r: r>1)

def main():
    p = argparse.ArgumentParser()
    p.add_argument('rows', nargs='*', choices=[[], *ROWS], default=[]); p.add_argument('--repeats', type=int, default=5)
    p.add_argument('--growth', choices=['ours','fastai'], help='for the row `memory`, which runs it in a process of its own')
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.growth: return print(growth(a.growth))
    done = {r['row']: r for r in json.loads(RESULTS.read_text())['rows']} if RESULTS.exists() else {}
    for name,r in ROWS.items():
        if name not in a.rows and done.get(name, {}).get('code')==r['code']: continue
        if a.rows and name not in a.rows: continue
        done[name] = measure(name, a.repeats)
        print(done[name], flush=True)
        rows = [done[n] for n in ROWS if n in done]
        RESULTS.write_text(json.dumps(dict(machine=platform.machine(), rows=rows), indent=1)+'\n')
    print(pd.DataFrame([done[n] for n in ROWS if n in done]).drop(columns=['row','code']).to_string(index=False))

if __name__=='__main__': main()
