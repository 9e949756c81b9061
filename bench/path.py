"""cvkit at its defaults against plain fastai: the same weights, the same minutes, the same machine, in turn.

    python bench/path.py DATA ANSWERS WEIGHTS [--seeds 3]

DATA holds the competitions `trashnet` and `grocery`, ANSWERS their `NAME.csv`, read for scoring alone. Each run is a process of its own.
`bench/path.json` is written after every run, and runs that stand there are not repeated: a stopped bench goes on. Delete it to start anew.
"""
import argparse, json, platform, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np, pandas as pd
from cvkit.core import chip, n_workers

HERE    = Path(__file__).resolve().parent
RESULTS = HERE/'path.json'
MINUTES = dict(trashnet=4, grocery=6)
SIZES   = 128, 224 # of plain fastai: the better by its own validation counts

def score(csv, answers):
    "Accuracy of a submission by id"
    ours, true = (pd.read_csv(p, dtype=str).set_index('image').label for p in (csv, answers))
    return float((ours.reindex(true.index)==true).mean())

def run(cmd):
    "Seconds and last line of a command"
    begun = time.monotonic()
    out = subprocess.run([str(o) for o in cmd], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return time.monotonic()-begun, out.strip().splitlines()[-1]

def commit():
    "Of this checkout, with a plus when there are changes"
    git = lambda *cmd: subprocess.run(['git', *cmd], cwd=HERE, capture_output=True, text=True).stdout.strip()
    return git('rev-parse', '--short', 'HEAD') + '+'*bool(git('status', '--porcelain', '--untracked-files=no', '--', ':!*.json'))

def one(what, name, seed, a):
    "One run of `what`: 'cvkit', or plain fastai at a size"
    with tempfile.TemporaryDirectory() as d:
        out, same = Path(d)/'submission.csv', ['--weights', a.weights, '--minutes', MINUTES[name], '--seed', seed]
        if what=='cvkit': cmd = [sys.executable, '-c', 'import sys; from cvkit.cli import main; sys.exit(main())', a.data/name, '--out', out, *same]
        else:             cmd = [sys.executable, HERE/'plain_fastai.py', a.data/name, out, '--size', what, *same]
        seconds, last = run(cmd)
        valid = float(last.split()[1]) if what!='cvkit' else None
        return dict(what=str(what), set=name, seed=seed, commit=commit(), cores=n_workers(64), precision=chip().precision if what=='cvkit' else 'fp32', seconds=round(seconds, 1), valid=valid, accuracy=score(out, a.answers/f'{name}.csv'))

def pick(raw, name, seed):
    "Ours, and the peer that its own validation prefers, or None where a run is missing"
    here = [o for o in raw if o['set']==name and o['seed']==seed]
    ours, peers = [o for o in here if o['what']=='cvkit'], [o for o in here if o['what']!='cvkit']
    return (ours[0], max(peers, key=lambda o: o['valid'])) if ours and len(peers)==len(SIZES) else None

def row(what, pairs, key, unit, goal, reached):
    "A row of the table from the raw values of all seeds"
    if not pairs: return dict(what=what, ours=None, peer=None, unit=unit, ratio=None, spread='not run', n=0, goal=goal, met=False)
    ours, peer = (np.array([p[i][key] for p in pairs]) for i in (0,1))
    return dict(what=what, ours=round(float(ours.mean()), 4), peer=round(float(peer.mean()), 4), unit=unit, ratio=round(float((ours/peer).mean()), 3),
                spread=f'{(ours/peer).min():.3f} to {(ours/peer).max():.3f}', n=len(pairs), goal=goal, met=bool(reached(ours, peer)))

def table(raw, seeds):
    "The rows of the issue"
    rows = []
    for name,minutes in MINUTES.items():
        pairs = [p for s in range(seeds) if (p := pick(raw, name, s))]
        whole = len(pairs)==seeds
        rows.append(row(f'{name}: accuracy', pairs, 'accuracy', 'share', 'plain fastai + 0.10'+(', at least 0.87' if name=='trashnet' else ''),
                        lambda o,p: whole and o.mean()>=p.mean()+.1 and (name!='trashnet' or o.mean()>=.87)))
        rows.append(row(f'{name}: time in all', pairs, 'seconds', 's', f'at most {60*minutes}' if name=='trashnet' else 'no more than plain fastai',
                        lambda o,p: whole and o.mean()<=p.mean() and (name!='trashnet' or o.max()<=60*minutes)))
    return rows

def main():
    p = argparse.ArgumentParser()
    p.add_argument('data', type=Path); p.add_argument('answers', type=Path); p.add_argument('weights', type=Path); p.add_argument('--seeds', type=int, default=3)
    a = p.parse_args()
    raw = json.loads(RESULTS.read_text())['raw'] if RESULTS.exists() else []
    for seed in range(a.seeds):
        for name in MINUTES:
            for what in ('cvkit', *SIZES):
                if any((o['what'],o['set'],o['seed'])==(str(what),name,seed) for o in raw): continue
                raw.append(one(what, name, seed, a))
                print(raw[-1], flush=True)
                RESULTS.write_text(json.dumps(dict(machine=platform.machine(), rows=table(raw, a.seeds), raw=raw), indent=1)+'\n')
    print(pd.DataFrame(table(raw, a.seeds)).to_string(index=False))

if __name__=='__main__': main()
