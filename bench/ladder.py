"""Does a ladder pick on a small part of the data what the whole would pick, and for what share of the time?

    python bench/ladder.py COMP WEIGHTS [--grid size] [--epochs 3 | --minutes 6] [--rungs .02 .1 .5 1] [--repeats 3 2 1 1] [--out bench/ladder.json]

Six settings are trained on each rung and scored on the same held-out rows of COMP, a competition's folder. Epochs are the same on all rungs, so
steps grow with the rows; minutes are those of all rows, and a rung gets its share. The file is written after every training, and what stands
there is not trained again: Ctrl-C stops the bench, the same call goes on. Delete it to start anew.
"""
import argparse
from pathlib import Path
from cvkit.core import chip, n_workers
from cvkit.data import Competition
from cvkit.ladder import climb, fit_setting

GRIDS = dict(
    size={f'{size} px, augment {a:g}': dict(size=size, augment=a) for size in (96,160) for a in (0,.5,1)},
    fit={f'{size} px, {fit}': dict(size=size, fit=fit) for size in (96,160) for fit in ('squish','crop','pad')},
    rate={f'rate {lr:g}': dict(lr=lr, size=128) for lr in (3e-5,1e-4,2e-4,4e-4,1e-3,3e-3)})

def in_minutes(whole):
    "`fit_setting` whose `minutes` are those of `whole` rows"
    def fit(comp, valid, seed, minutes, **setting): return fit_setting(comp, valid, seed, epochs=None, minutes=minutes*(~valid).sum()/whole, **setting)
    return fit

def main():
    p = argparse.ArgumentParser()
    p.add_argument('comp', type=Path); p.add_argument('weights', type=Path)
    p.add_argument('--grid', choices=GRIDS, default='size'); p.add_argument('--arch', default='tf_efficientnet_lite0')
    p.add_argument('--epochs', type=float, default=3); p.add_argument('--minutes', type=float)
    p.add_argument('--rungs', type=float, nargs='+', default=[.02,.1,.5,1]); p.add_argument('--repeats', type=int, nargs='+', default=[1])
    p.add_argument('--seed', type=int, default=0); p.add_argument('--out', type=Path)
    a = p.parse_args()
    comp = Competition(a.comp)
    same = dict(arch=a.arch, weights=str(a.weights.resolve()), label_smoothing=.1, **(dict(minutes=a.minutes) if a.minutes else dict(epochs=a.epochs)))
    out = a.out or Path(__file__).resolve().parent/f'ladder-{comp.path.name}-{a.grid}.json'
    print(f'{comp.path.name}: {len(comp.train)} rows, {n_workers(64)} cores, {chip().name} in {chip().precision}')
    ladder = climb(comp, {k: dict(v, **same) for k,v in GRIDS[a.grid].items()}, a.rungs, in_minutes(len(comp.train)*.8) if a.minutes else fit_setting,
                   repeats=a.repeats if len(a.repeats)>1 else a.repeats[0], path=out, seed=a.seed)
    print(ladder)
    out.with_suffix('.png').unlink(missing_ok=True)
    if ladder.trials: ladder.show().savefig(out.with_suffix('.png'), dpi=90)

if __name__=='__main__': main()
