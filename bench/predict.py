"""What stands on predictions, measured side by side with what users have instead: the ledger against pandas and Parquet, fixed views against fastai's `tta`.

    python bench/predict.py DATA ANSWERS WEIGHTS [JOB ...] [--seeds 3] [--scratch FOLDER]

The peers of `ledger` and `stores` are pyarrow and duckdb, which cvkit does not need: install them beside it. `ledger`, `stores` and `tta` want a machine without other work. How a bench goes on: `record.py`.
"""
import shutil, signal, sqlite3, subprocess, sys, time
from contextlib import closing
from pathlib import Path
import numpy as np, pandas as pd, torch
import cvkit.tta, sets
from cvkit.data import Competition
from cvkit.oof import Ledger
from record import Bench, row
from sets import answers

BENCH = Bench(__file__, lambda raw: summary(raw), sets.__file__)
job   = BENCH.job

def timed(f, *args):
    "What `f` gives, and the seconds that it took"
    begun = time.monotonic()
    out = f(*args)
    return out,round(time.monotonic()-begun, 3)

def empty(folder):
    shutil.rmtree(folder, ignore_errors=True); folder.mkdir(parents=True)
    return folder

# A large ledger

def blocks(n, c, folds, views, seed):
    "Predictions of `n` images by the fold that did not train on them, in some views: (fold, view, ids, probabilities)"
    rng,ids = np.random.default_rng(seed),np.array([f'{i:08x}.jpg' for i in range(n)])
    for fold,part in enumerate(np.array_split(rng.permutation(n), folds)):
        for view in range(views): yield fold,f'view {view}',ids[part],rng.random((len(part),c), dtype=np.float32)

class Parquet:
    "The same with pandas: a file a block, as most notebooks do"
    def __init__(self, folder): self.folder = folder
    def add(self, fold, view, ids, preds):
        df = pd.DataFrame(preds, columns=[str(i) for i in range(preds.shape[1])])
        df.insert(0, 'id', ids)
        df.to_parquet(self.folder/f'{fold} {view}.parquet')
    def read(self, **kw): return pd.concat([pd.read_parquet(f, **kw) for f in sorted(self.folder.glob('*.parquet'))]).groupby('id').mean()
    def some(self, ids): return self.read(filters=[('id','in',set(ids))]).loc[ids]

@job({'1,000,000 x 100': dict(n=1_000_000, c=100), '10,000 x 15,000': dict(n=10_000, c=15_000)}, 'oof', folds=5, views=2, ids=1000)
def ledger(a, seed, n, c, folds, views, ids):
    "Seconds to append all blocks, to merge them over folds and views, and to read some images"
    home = empty(a.scratch/'ledger')
    ours,peer = Ledger(home/'ours'),Parquet(empty(home/'peer'))
    took = dict(add=0., peer_add=0.)
    for fold,view,names,preds in blocks(n, c, folds, views, seed):
        took['add'] += timed(lambda: ours.add(names, preds, fold=fold, view=view))[1]
        took['peer_add'] += timed(peer.add, fold, view, names, preds)[1]
    merged,took['merge'] = timed(ours.get, 'valid')
    theirs,took['peer_merge'] = timed(peer.read)
    apart = float(np.abs(merged.loc[theirs.index].to_numpy()-theirs.to_numpy()).max())
    some = np.random.default_rng(seed).choice(merged.index, ids, replace=False)
    del merged, theirs
    found,took['some'] = timed(lambda: ours.get('valid', ids=some))
    theirs,took['peer_some'] = timed(peer.some, some)
    shutil.rmtree(home)
    return dict(took, apart=max(apart, float(np.abs(found.to_numpy()-theirs.to_numpy()).max())))

# Kills

def write_until_killed(folder):
    "Add blocks, and say of each when `add` has returned"
    led,i = Ledger(folder),0
    while True: led.add([f'{i}-{k}' for k in range(2000)], np.full((2000,20), i, np.float32), view=f'{i}'); print(i, flush=True); i += 1

@job({'20 kills': {}}, 'oof', n=20)
def kills(a, seed, n):
    "A process that adds blocks is killed at random moments: is everything there that it was told is there?"
    rng,lost,told = np.random.default_rng(seed),0,0
    for _ in range(n):
        home = empty(a.scratch/'kills')
        p = subprocess.Popen([sys.executable, '-W', 'ignore', __file__, '--write', home], stdout=subprocess.PIPE, text=True)
        p.stdout.readline(); time.sleep(rng.uniform(0, .5)); p.send_signal(signal.SIGKILL)
        acknowledged = 1+len(p.communicate()[0].split())
        there = Ledger(home).get('valid')
        lost += sum(f'{i}-{k}' not in there.index or (there.loc[f'{i}-{k}']!=i).any() for i in range(acknowledged) for k in (0,1999))
        told += acknowledged
    return dict(lost=int(lost), told=told, kills=n)

# Which store for the index

def sqlite_lines(folder, lines):
    for o in lines:
        with closing(sqlite3.connect(folder/'i.db')) as db, db: db.execute('CREATE TABLE IF NOT EXISTS t (a TEXT, b INTEGER)'); db.execute('INSERT INTO t VALUES (?,?)', o)
    with closing(sqlite3.connect(folder/'i.db')) as db: return len(db.execute('SELECT * FROM t').fetchall())

def duckdb_lines(folder, lines):
    import duckdb
    for o in lines:
        with duckdb.connect(folder/'i.duck') as db: db.execute('CREATE TABLE IF NOT EXISTS t (a TEXT, b INTEGER)'); db.execute('INSERT INTO t VALUES (?,?)', o)
    with duckdb.connect(folder/'i.duck') as db: return len(db.execute('SELECT * FROM t').fetchall())

def parquet_lines(folder, lines):
    for i,o in enumerate(lines): pd.DataFrame([o], columns=['a','b']).to_parquet(folder/f'{i}.parquet')
    return len(pd.concat([pd.read_parquet(f) for f in folder.glob('*.parquet')]))

@job({o: dict(store=o) for o in ('sqlite','duckdb','parquet')}, n=1000)
def stores(a, seed, n, store):
    "Seconds to append so many lines, each for itself, and to read them all"
    folder = empty(a.scratch/'stores')
    count,seconds = timed(dict(sqlite=sqlite_lines, duckdb=duckdb_lines, parquet=parquet_lines)[store], folder, [(f'{i:08x}',i) for i in range(n)])
    assert count==n
    return dict(seconds=seconds)

# Views

VIEWS = [f'{a} {b}'.strip() or 'identity' for a in ('','zoom','top_left','top_right','bottom_left','bottom_right') for b in ('','hflip')]

def plain_learner(a, name, size, epochs, seed):
    "Plain fastai, trained by its script; it comes from there whole"
    out = empty(a.scratch/'tta')
    subprocess.run([sys.executable, '-W', 'ignore', Path(__file__).with_name('plain_fastai.py'), a.data/name, out/'s.csv', '--weights', a.weights, '--epochs', str(epochs), '--size', str(size), '--seed', str(seed), '--export', out/'learn'], check=True, capture_output=True)
    return torch.load(out/'learn', weights_only=False),out

@job({name: dict(name=name, size=size) for name,size in dict(trashnet=128, grocery=128, omniglot_small=96).items()}, 'tta', 'augment', 'learner', 'merge', epochs=4)
def tta(a, seed, name, size, epochs):
    "Accuracy on the test and seconds of one trained learner: as validation shows it, fastai's `tta`, two fixed views, and the views that held-out rows choose"
    comp,(learn,out) = Competition(a.data/name),plain_learner(a, name, size, epochs, seed)
    items,found = comp.items(comp.test),{}
    truth = answers(a, name, items)
    def test(): return learn.dls.test_dl(items.image.tolist())
    def note(k, f):
        with learn.no_bar(): preds,seconds = timed(f)
        found.update({k: float((np.array(learn.dls.vocab)[np.asarray(preds).argmax(1)]==truth).mean()), f'{k}_seconds': seconds})
        return np.asarray(preds)
    note('warm', lambda: learn.get_preds(dl=test())[0])
    note('one', lambda: learn.get_preds(dl=test())[0])
    first,again = (note('fastai', lambda: learn.tta(dl=test())[0]) for _ in range(2))
    found['fastai_apart'] = float(abs(first-again).max())
    first,again = (note('two', lambda: cvkit.tta.tta(learn, test(), ['identity','hflip'])) for _ in range(2))
    found['apart'] = float(abs(first-again).max())
    led,ids = Ledger(out/'ledger', list(learn.dls.vocab)),[Path(o).name for o in learn.dls.valid_ds.items.iloc[:,0]]
    (seconds,found['choosing_seconds']) = timed(lambda: led.predict(learn, learn.dls.valid, ids, views=VIEWS, sizes=[size,round(1.25*size)]))
    chosen = led.choose_views(comp, seconds)
    note('chosen', lambda: cvkit.tta.tta(learn, test(), chosen.members))
    print(chosen.steps.round(4).to_string(), chosen.alone.head(8).round(4).to_string(), sep='\n')
    return dict(found, members=[f'{v} {s}' for v,s in chosen.members])

def summary(raw):
    "The rows of the table for which there is something"
    by,out = {},[]
    for o in raw:
        if BENCH.present(o): by.setdefault((o['job'],o['arm']), []).append(o)
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='ledger'):
        for what,said in dict(merge='merged over folds and views', some='1,000 images read by id', add='appended').items():
            out.append(row(f'ledger, {arm}, two views: {said}', [o[what] for o in found], [o[f'peer_{what}'] for o in found], 's', 'a fifth' if what!='add' else 'less', lambda a, b: a<=b/(5 if what!='add' else 1), more=False))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='tta'):
        for k,said in dict(two='identity and hflip', chosen='chosen views').items():
            out.append(row(f"{arm}, plain fastai's learner, {said}: points of accuracy gained, against fastai's tta", [100*(o[k]-o['one']) for o in found], [100*(o['fastai']-o['one']) for o in found], 'points', 'as many', lambda a, b: a>=b))
            out.append(row('seconds of the same', [o[f'{k}_seconds'] for o in found], [o['fastai_seconds'] for o in found], 's', 'half', lambda a, b: a<=b/2, more=False))
    for o in by.get(('kills','20 kills'), []): out.append(row(f"ledger: of {o['told']} blocks that were acknowledged before {o['kills']} kills, lost", [o['lost']], None, 'blocks', 'none', lambda a: a.sum()==0))
    return out

def main():
    if sys.argv[1:2]==['--write']: return write_until_killed(sys.argv[2])
    a = BENCH.parser().parse_args()
    a.scratch = a.scratch.resolve()
    BENCH.run(a)

if __name__=='__main__': main()
