"""At 112 px: is the fast input path as good as the slow one, and which strength of augmentation do held-out images choose?

    python bench/dial.py DATA ANSWERS WEIGHTS [--seeds 3] [--epochs 3]

DATA holds the competitions `trashnet` and `grocery`, ANSWERS their `NAME.csv`, read for scoring alone. All trainings are alike but for what their
row says: a head start, then some epochs at 112 px, with fold `seed` of five held out. `bench/dial.json` is written after every training, and what
stands there for the present state of the measured code is not trained again: a stopped bench goes on.
"""
import argparse, hashlib, json, platform
from dataclasses import replace
from pathlib import Path
import numpy as np, pandas as pd
import cvkit, cvkit.folds, cvkit.loaders
from cvkit.augment import Augment
from cvkit.core import chip, n_workers, seed_all
from cvkit.data import Competition
from cvkit.learner import predict, timm_learner
from cvkit.pixels import Frame
from cvkit.plan import Plan
from cvkit.resample import shrunk

RESULTS = Path(__file__).resolve().with_name('dial.json')
SETS    = 'trashnet', 'grocery'
SIZE    = 112
PRESET  = Augment('photo').but(blur=0, jpeg=0) # which depend on the size they act at
DIALS   = {'0': dict(augment=0.), '0.3': dict(augment=.3), '0.6': dict(augment=.6), 'ramp to 0.6': dict(augment=.6, ramp=True)}
RUNS    = {**DIALS, 'slow path, 0.3': DIALS['0.3']}
CODE    = hashlib.sha1(b''.join((Path(cvkit.__file__).parent/f'{m}.py').read_bytes() for m in 'files resample augment pixels'.split())).hexdigest()[:12]

def slow(frame):
    "Make `frame` show the same from all pixels of a file: at four times the side, then the means of areas"
    big = Frame(4*SIZE, frame.fit, frame.augment, frame.crop_pct)
    big.least = lambda n, draws: np.full(n, 10**6)
    frame.batch = lambda reads, draws=None: np.stack([shrunk(o, 4) for o in big.batch(reads, draws)])

def names(comp, learn, df):
    "The most likely class of each row of `df`, by id"
    items = comp.items(df)
    return pd.Series(np.array(comp.classes)[predict(learn, learn.dls.test_dl(items))['identity'].argmax(1)], items.index)

def train(name, run, seed, a):
    "Accuracy on the held-out fold and on the test rows"
    seed_all(seed)
    comp = Competition(a.data/name)
    held = comp.folds()==seed
    dls = comp.dataloaders(SIZE, valid=held, preset=PRESET, seed=seed)
    if run.startswith('slow'):
        for dl in dls.loaders: slow(dl.frame)
    learn = timm_learner(dls, weights=a.weights, size=SIZE, label_smoothing=.1)
    plan = Plan(p if p.head_start else replace(p, **RUNS[run]) for p in Plan.default(SIZE, a.epochs, 1., 16))
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(plan, monitor='epoch') # the last state counts
    valid, test = (names(comp, learn, df) for df in (comp.train[held.reindex(comp.train.index).to_numpy(bool)], comp.test))
    truth = pd.read_csv(a.answers/f'{name}.csv', dtype=str).set_index('image').label
    return dict(set=name, run=run, seed=seed, epochs=a.epochs, code=CODE, cores=n_workers(64), precision=chip().precision,
                valid=float((comp.train.label[valid.index]==valid).mean()), test=float((test.reindex(truth.index)==truth).mean()))

def row(what, ours, peer, goal, reached):
    "A row of the table from the accuracies of all seeds"
    return dict(what=what, ours=round(float(ours.mean()), 4), peer=round(float(peer.mean()), 4), unit='share', ratio=round(float((ours/peer).mean()), 3),
                spread=f'{(ours/peer).min():.3f} to {(ours/peer).max():.3f}', n=len(ours), goal=goal, met=bool(reached))

def table(raw):
    "Two rows a set, of the seeds for which all runs are there"
    rows, df = [], pd.DataFrame([o for o in raw if o['code']==CODE])
    for name in SETS if len(df) else ():
        valid,test = (df[df.set==name].pivot(index='seed', columns='run', values=k).reindex(columns=list(RUNS)).dropna() for k in ('valid','test'))
        if not len(test): continue
        fast,slow = test['0.3'],test['slow path, 0.3']
        rows.append(row(f'{name} at {SIZE} px: fast path against slow path, strength 0.3', fast, slow, 'equal within the spread of its seeds', abs(fast.mean()-slow.mean())<=fast.max()-fast.min()))
        best = valid[list(DIALS)].mean().idxmax()
        rows.append(row(f'{name} at {SIZE} px: the dial that held-out rows choose, {best}, against 0', test[best], test['0'], 'no worse than 0 within the spread of its seeds', test[best].mean()>=test['0'].mean()-(test['0'].max()-test['0'].min())))
    return rows

def main():
    p = argparse.ArgumentParser()
    p.add_argument('data', type=Path); p.add_argument('answers', type=Path); p.add_argument('weights', type=Path)
    p.add_argument('--seeds', type=int, default=3); p.add_argument('--epochs', type=float, default=3)
    a = p.parse_args()
    raw = json.loads(RESULTS.read_text())['raw'] if RESULTS.exists() else []
    for seed in range(a.seeds):
        for name in SETS:
            for run in RUNS:
                key = dict(set=name, run=run, seed=seed, epochs=a.epochs, code=CODE)
                if any(all(o[k]==v for k,v in key.items()) for o in raw): continue
                raw = [o for o in raw if any(o[k]!=key[k] for k in ('set','run','seed'))]+[train(name, run, seed, a)]
                print(raw[-1], flush=True)
                RESULTS.write_text(json.dumps(dict(machine=platform.machine(), rows=table(raw), raw=raw), indent=1)+'\n')
    print(pd.DataFrame(table(raw)).to_string(index=False))

if __name__=='__main__': main()
