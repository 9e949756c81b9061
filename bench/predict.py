"""What stands on predictions, measured side by side with what users have instead: the ledger against pandas and Parquet, views against fastai's `tta`, label errors against cleanlab, estimates before the test against a random held-out part, pseudo-labels against none, lists of nearest drawings against class means.

    python bench/predict.py DATA ANSWERS WEIGHTS [JOB ...] [--seeds 3] [--scratch FOLDER]

The peers of `ledger`, `stores` and `search` are pyarrow, duckdb, usearch and hnswlib, which cvkit does not need: install them beside it. `ledger`, `stores`, `search` and `tta` want a machine without other work. How a bench goes on: `record.py`.
"""
import json, math, os, resource, shutil, signal, sqlite3, subprocess, sys, time
from contextlib import closing
from copy import copy
from pathlib import Path
import numpy as np, pandas as pd, torch, torch.nn.functional as F
from sklearn.metrics import average_precision_score
import cvkit.fit, cvkit.folds, cvkit.loaders, cvkit.tta, sets
from cvkit.backbone import timm_body
from cvkit.core import chip, seed_all
from cvkit.curve import LearningCurve, thinned
from cvkit.data import Competition
from cvkit.headstart import fit_linear
from cvkit.heads import make_head, repool
from cvkit.index import Index
from cvkit.learner import predict, timm_learner
from cvkit.margins import MarginLoss
from cvkit.noise import feature_probs, label_quality, true_probs
from cvkit.oof import Ledger
from cvkit.plan import Phase, Plan
from cvkit.pseudo import pseudo_rounds
from cvkit.pseudo_run import pseudo_run
from cvkit.retrieval import NEW, blend_scores, choose_threshold, class_centres, expanded, map_at, rank_classes, rerank, with_new
from cvkit.run import cvkit_run
from cvkit.scores import bootstrap, interval
from cvkit.search import nearest
from cvkit.shift import image_features
from record import Bench, count, row
from sets import answers, shares

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
RANDOM = [f'random{i}' for i in range(1, 17)]

def plain_learner(a, name, size, epochs, seed):
    "Plain fastai, trained by its script; it comes from there whole"
    out = empty(a.scratch/'tta')
    subprocess.run([sys.executable, '-W', 'ignore', Path(__file__).with_name('plain_fastai.py'), a.data/name, out/'s.csv', '--weights', a.weights, '--epochs', str(epochs), '--size', str(size), '--seed', str(seed), '--export', out/'learn', *(['--no-flip'] if name=='omniglot_small' else [])], check=True, capture_output=True)
    return torch.load(out/'learn', weights_only=False),out

@job({name: dict(name=name, size=size) for name,size in dict(trashnet=128, grocery=128, omniglot_small=96).items()}, 'tta', 'augment', 'learner', 'merge', epochs=4)
def tta(a, seed, name, size, epochs):
    "Accuracy on the test and seconds of one trained learner: as validation shows it, fastai's `tta`, two fixed views, the image and as many random views as two fifths of the seconds of fastai's allow, and those that held-out rows choose for as many seconds of fixed and four random views; ours in the precision of the chip"
    comp,(learn,out) = Competition(a.data/name),plain_learner(a, name, size, epochs, seed)
    items,found,precision = comp.items(comp.test),{},None if chip().precision=='fp32' else chip().precision
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
    first,again = (note('two', lambda: cvkit.tta.tta(learn, test(), ['identity','hflip'], precision=precision)) for _ in range(2))
    found['apart'] = float(abs(first-again).max())
    most,(_,took) = .4*1000*found['fastai_seconds']/len(items),cvkit.tta.predict_views(learn, test(), ['identity','random1'], precision=precision)
    found['views'] = min(len(RANDOM), max(1, int((most-took['reading'])/took['random1',size])-1))
    note('random', lambda: cvkit.tta.tta(learn, test(), ['identity',*RANDOM[:found['views']]], precision=precision))
    led,ids = Ledger(out/'ledger', list(learn.dls.vocab)),[Path(o).name for o in learn.dls.valid_ds.items.iloc[:,0]]
    (seconds,found['choosing_seconds']) = timed(lambda: led.predict(learn, learn.dls.valid, ids, views=VIEWS+RANDOM[:4], sizes=[size,round(1.25*size)], precision=precision))
    chosen = led.choose_views(comp, seconds, most_seconds=most)
    note('chosen', lambda: cvkit.tta.tta(learn, test(), chosen.members, precision=precision))
    print(chosen.steps.round(4).to_string(), chosen.alone.head(8).round(4).to_string(), sep='\n')
    return dict(found, members=[f'{v} {s}' for v,s in chosen.members])

# Label errors and shift, told before anything is trained

def frozen(a, name, size):
    "The competition, frozen features of its training and test rows, and the seconds they took"
    comp,begun = Competition(a.data/name),time.monotonic()
    learn = timm_learner(comp.dataloaders(size, 64, augment=0), weights=a.weights)
    return comp,*(image_features(learn, comp, df) for df in (comp.train,comp.test)),round(time.monotonic()-begun, 1)

def tested(comp, a, name, train, test, rows, y=None):
    "Accuracy on the test of a linear layer of frozen features that learned from `rows`"
    x,y = torch.tensor(train.to_numpy()),torch.tensor(comp.y(comp.train.loc[train.index]) if y is None else y)
    layer = fit_linear(x[rows], y[rows], len(comp.classes), F.cross_entropy, epochs=10, wd=1.)
    with torch.no_grad(): said = np.array(comp.classes)[layer(torch.tensor(test.to_numpy())).argmax(1).numpy()]
    return float((said==answers(a, name, comp.items(comp.test.loc[test.index]))).mean())

@job({'cifar10n_noisy': {}}, 'noise', 'headstart', 'learner', 'shift', name='cifar10n_noisy', size=96)
def labels(a, seed, name, size):
    "Average precision of the label errors that frozen features find, in one round (cleanlab on the same probabilities) and in two; accuracy of a linear layer on the test with the labels as they are, without those that are flagged, and with those that are suggested"
    comp,train,test,seconds = frozen(a, name, size)
    truth = pd.read_csv(a.answers/f'{name}_train_clean.csv', dtype=str).set_index('image').label[train.index].to_numpy()
    y,fold = comp.y(comp.train.loc[train.index]),comp.folds(5, seed=seed)[train.index].to_numpy()
    wrong,found = np.array(comp.classes)[y]!=truth,dict(feature_seconds=seconds)
    for r in (1,2):
        (p,took) = timed(lambda: feature_probs(train.to_numpy(), y, fold, len(comp.classes), r, seed))
        quality,flagged = label_quality(y, p)
        found |= {f'precision_{r}': float(average_precision_score(wrong, -quality)), f'flagged_{r}': float(flagged.mean()), f'seconds_{r}': took}
    rows = np.arange(len(y))
    return dict(found, given=tested(comp, a, name, train, test, rows), dropped=tested(comp, a, name, train, test, rows[~flagged]), relabelled=tested(comp, a, name, train, test, rows, np.where(flagged, p.argmax(1), y)))

@job({name: dict(name=name, size=size, noisy=name=='cifar10n_noisy') for name,size in dict(trashnet=128, grocery=112, omniglot_small=96, cifar10n_noisy=96).items()}, 'shift', 'folds', 'headstart', 'learner', 'curve', 'noise')
def estimate(a, seed, name, size, noisy):
    "Accuracy that five folds promise of a linear layer of frozen features that learns from all rows, at random and as `folds_like_test` has them, against that on the test; of right labels where those of the training rows are `noisy`"
    comp,train,test,_ = frozen(a, name, size)
    x,y = torch.tensor(train.to_numpy()),comp.y(comp.train.loc[train.index])
    def right(fold, share):
        said = np.zeros((len(x),len(comp.classes)), np.float32)
        torch.manual_seed(seed)
        for k in range(5):
            held = fold==k
            rows = train.index.isin(thinned(comp, held, share, seed).train.index)&~held.to_numpy()
            layer = fit_linear(x[rows], torch.tensor(y)[rows], len(comp.classes), F.cross_entropy, epochs=10, wd=1.)
            with torch.no_grad(): said[held] = layer(x[torch.tensor(held.to_numpy())]).softmax(1).numpy()
        same = said.argmax(1)==y
        rest = [(fold!=k).to_numpy() for k in range(5)]
        if not noisy: return same.mean(),same.mean(),bootstrap(lambda y,p: p.mean(), same, same),[same[o].mean() for o in rest]
        _,share,drawn = true_probs(y, said)
        return same.mean(),share,drawn,[true_probs(y[o], said[o], n=1)[1] for o in rest]
    def promised(fold):
        same,shares,drawn,without = zip(*(right(fold, share) for share in (.5,1.)))
        curve = LearningCurve('accuracy', True, [.4,.8], [*shares], np.stack(drawn), np.array(without), len(x))
        score,low,high = curve.at(test=None if noisy else len(test), seed=seed)
        if noisy: low,high = (score+math.copysign(math.hypot(o-score, 1.96*math.sqrt(score*(1-score)/len(test))), o-score) for o in (low,high)) # what is drawn there is no chance of single rows
        return float(same[-1]),score,low,high
    shift = comp.shift(train, test, seed)
    fold,table = comp.folds_like_test(train, test, 5, seed=seed)
    (folds,random,low,high),(_,aware,*_) = (promised(o[train.index]) for o in (comp.folds(5, seed=seed),fold))
    return dict(score=tested(comp, a, name, train, test, np.arange(len(train))), folds=folds, random=random, low=low, high=high, aware=aware, auc=shift.auc, shifted=bool(shift.shifted), way=table.apart.idxmin())

def a_tenth(comp, seed):
    "The competition with a tenth of its labels, three of each class at least, and the other rows"
    rng,few = np.random.default_rng(seed),copy(comp)
    labelled = np.concatenate([rng.choice(rows, max(3, round(len(rows)/10)), replace=False) for rows in comp.train.groupby('label').indices.values()])
    few.train = comp.train.iloc[np.sort(labelled)]
    return few,comp.train.drop(few.train.index)

@job({'a tenth of the labels of grocery': {}}, 'pseudo', 'search', 'calibrate', 'learner', 'heads', 'margins', 'headstart', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'loaders', 'augment', name='grocery', size=112, images=3000)
def pseudo(a, seed, name, size, images):
    "Accuracy of three folds' mean on the test with a tenth of the labels, and with a round of pseudo-labels for the other rows; every model sees as many images. The answers of those rows say how many of the new labels are right"
    comp = Competition(a.data/name)
    few,heap = a_tenth(comp, seed)
    def fit(part, held, weights):
        seed_all(seed)
        learn = timm_learner(part.dataloaders(size, 32, valid=held, seed=seed), weights=a.weights, head='cosine', label_smoothing=.1)
        with learn.no_bar(), learn.no_logging(): learn.fit_plan(Plan.default(size, images/(~held).sum()))
        return learn
    ledger = few.ledger(empty(a.scratch/'pseudo'))
    found,took = timed(lambda: pseudo_rounds(few, ledger, fit, heap.drop(columns='label'), few.folds(3, seed=seed), views=('identity','hflip'), allowed=True, least=.5))
    truth,chosen = pd.Series(answers(a, name, comp.items(comp.test)), comp.test.index),ledger.sure_labels(few, 0, ['round 0 labels'], least=.5)
    before,after = (float((ledger.get('test', run=o).idxmax(axis=1)==truth).mean()) for o, in found.runs)
    return dict(before=before, after=after, stays=found.best, held_out=[*found.scores.score], labelled=len(few.train), labels=len(chosen), of=len(heap), right=float((chosen.label==heap.label[chosen.index]).mean()), seconds=took)

@job({'grocery with a tenth of its labels, 4 minutes and 4': dict(minutes=4)}, 'pseudo_run', 'pseudo', 'run', 'run_folder', 'budget', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'learner', 'heads', 'margins', 'headstart', 'loaders', 'augment', 'pixels', 'probe', name='grocery')
def another_round(a, seed, name, minutes):
    "Accuracy on the test of `cvkit_run` with a tenth of the labels, of one more round with pseudo-labels for the other rows, and of a run of as many minutes as both"
    home,comp = empty(a.scratch/'another_round'),Competition(a.data/name)
    few,heap = a_tenth(comp, seed)
    shutil.copytree((a.data/name).resolve(), home/name, copy_function=os.symlink, ignore=lambda folder, names: ['train.csv'])
    rows,truth = (pd.read_csv(f, dtype=str).set_index('image') for f in (a.data/name/'train.csv',a.answers/f'{name}.csv'))
    rows.loc[few.train.index].to_csv(home/name/'train.csv')
    def run(out, minutes, f, *args, **kw):
        folder,seconds = timed(lambda: f(home/name, *args, out=home/out, minutes=minutes, **kw))
        sub = pd.read_csv(home/out, dtype=str).set_index('image').label
        return folder,float((sub==truth.label[sub.index]).mean()),json.loads((folder/'score.json').read_text())['score'],seconds
    first,before,held_out,took = run('first.csv', minutes, cvkit_run, weights=a.weights, seed=seed)
    folder,after,held_after,took_after = run('round.csv', minutes, pseudo_run, first, rows=heap.drop(columns='label'), allowed=True)
    _,longer,_,took_longer = run('longer.csv', 2*minutes, cvkit_run, weights=a.weights, seed=seed)
    return dict(before=before, after=after, longer=longer, held_out=[held_out,held_after], took=[took,took_after,took_longer])

# Nearest drawings

def lists(queries, gallery, labels, proxies, known, k=5):
    "Lists of `k` classes of each query, by way; `proxies` are what the classifier has for each class of `known`"
    means,names = class_centres(gallery, labels)
    by_means  = lambda q: rank_classes(*nearest(q, means, k), names, k)
    by_images = lambda q, g: rank_classes(*nearest(q, g, 4*k), labels, k)
    out = {'class means': by_means(queries), 'nearest images': by_images(queries, gallery), 'augmented gallery': by_images(queries, expanded(gallery, k=2)), 'expanded queries': by_means(expanded(queries, gallery, k=2)),
           'shared neighbours': rank_classes(*rerank(queries, gallery, 4*k, k1=6, k2=3), labels, k), 'classifier': rank_classes(*nearest(queries, proxies, k), known, k)}
    return out | {f'class means and {o}': blend_scores(out['class means'], out[o], k=k) for o in ('nearest images','shared neighbours','classifier')}

@job({'emoji_retrieval': {}}, 'retrieval', 'search', 'tta', 'oof', 'backbone', 'heads', 'margins', 'learner', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'loaders', 'augment', size=64, epochs=10)
def drawings(a, seed, size, epochs):
    "MAP@5 where some classes are new, by each way of `lists` and at one size of the images or two; the way and the threshold are chosen on held-out rows, then the test is scored"
    comp,begun = Competition(a.data/'emoji_retrieval'),time.monotonic()
    new,some = shares(comp, seed)
    held,codes = (new|some).to_numpy(),comp.y(comp.train)
    body = repool(timm_body('tf_efficientnet_lite0', a.weights), 'avg', (3,4))
    dls = comp.dataloaders(size, 64, valid=new|some, flip=0, augment=.5, seed=seed, num_workers=0)
    learn = timm_learner(dls, body, head=make_head(body, dls.c, 'cosine', 512), loss_func=MarginLoss('arc', .3))
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(Plan([Phase('fit', epochs, size, lr=1e-2, body_lr=.3, augment=.5, freeze_stats=False)]), monitor='epoch')
    trained,led,sizes = round(time.monotonic()-begun, 1),Ledger(empty(a.scratch/'drawings')),(size,round(1.25*size))
    for kind,df in dict(train=comp.train, test=comp.test).items():
        items = comp.items(df)
        led.predict(learn, learn.dls.test_dl(items), items.index, kind, ['identity'], sizes, 'embedding')
    proxies,seen = learn.model[1].classifier.weight.detach().cpu().numpy(),np.unique(codes[~held])
    right = dict(valid=np.where(new, NEW, codes)[held], test=pd.Index(comp.classes).get_indexer(answers(a, 'emoji_retrieval', comp.test)))
    right['test'][right['test']<0] = NEW
    share,found = 1-len(comp.classes)/len(comp.test),{} # each class has one drawing in the test
    for s in (*sizes,None):
        train,test = (led.get(kind, size=s, what='embedding', ids=df.index).to_numpy() for kind,df in dict(train=comp.train, test=comp.test).items())
        now = dict(valid=lists(train[held], train[~held], codes[~held], proxies[seen], seen), test=lists(test, train, codes, proxies[seen], seen))
        for way in now['valid']:
            t = choose_threshold(*now['valid'][way], right['valid'], share)
            ranked = {part: with_new(*now[part][way], t) for part in now}
            valid = sum(w*map_at(ranked['valid'][o], right['valid'][o]) for w,o in ((share,right['valid']==NEW),(1-share,right['valid']!=NEW)))
            found[f"{way}, {s or 'both sizes'}"] = valid,map_at(ranked['test'], right['test'])
    best = max(found, key=lambda o: found[o][0])
    print(pd.DataFrame.from_dict(found, orient='index', columns=['valid','test']).round(4).to_string(), flush=True)
    return dict(valid=found[best][0], test=found[best][1], way=best, means=found[f'class means, {size}'][1], ways={k: [round(x, 4) for x in v] for k,v in found.items()}, seconds=trained)

# An index for millions

def clustered(n, d, queries, seed):
    "Vectors around as many centres as a large gallery has individuals, fifty each, and queries around the same"
    rng = np.random.default_rng(seed)
    centres,out = rng.standard_normal((n//50,d), np.float32),np.empty((n+queries,d), np.float32)
    for i in range(0, len(out), 2**16):
        part = out[i:i+2**16]
        part[:] = centres[rng.integers(0, len(centres), len(part))]+.7*rng.standard_normal(part.shape, np.float32)
    return out[:n],out[n:]

def usearch(gallery, queries, k):
    "A graph by usearch at its defaults, in half precision: positions, seconds to build and to search"
    from usearch.index import Index as Graph
    graph = Graph(ndim=gallery.shape[1], metric='cos', dtype='f16')
    _,building = timed(lambda: graph.add(np.arange(len(gallery)), gallery))
    found,took = timed(lambda: graph.search(queries, k))
    return found.keys,building,took

def hnswlib(gallery, queries, k):
    "A graph by hnswlib of the same sizes, in single precision: the same"
    from hnswlib import Index as Graph
    graph = Graph('cosine', gallery.shape[1])
    graph.init_index(len(gallery), M=16, ef_construction=128); graph.set_ef(64)
    _,building = timed(lambda: graph.add_items(gallery))
    (at,_),took = timed(lambda: graph.knn_query(queries, k))
    return at,building,took

@job({f'{n:,} x 512': dict(n=n) for n in (200_000,1_000_000)}, 'search', 'index', d=512, queries=10_000, k=5)
def search(a, seed, n, d, queries, k):
    "Seconds for the five nearest of so many queries, exactly and by the index, with what building takes and the recall; for the smaller gallery those of two graphs as well"
    gallery,asked = clustered(n, d, queries, seed)
    (_,true),exact = timed(lambda: nearest(asked, gallery, k))
    recall = lambda at: float(np.mean([len(np.intersect1d(x, y)) for x,y in zip(at, true)])/k)
    index,building = timed(lambda: Index(gallery, k=k))
    (_,at),took = timed(lambda: index(asked, k))
    found = dict(exact=exact, seconds=took, building=building, recall=recall(at), lists=index.lists, probe=index.probe, gigabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)
    if n>200_000: return found
    for graph in (usearch,hnswlib):
        at,building,took = graph(gallery, asked, k)
        found[graph.__name__] = dict(seconds=took, building=building, recall=recall(at))
    return found

def summary(raw):
    "The rows of the table for which there is something"
    by,out = {},[]
    for o in raw:
        if BENCH.present(o): by.setdefault((o['job'],o['arm']), []).append(o)
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='ledger'):
        for what,said in dict(merge='merged over folds and views', some='1,000 images read by id', add='appended').items():
            out.append(row(f'ledger, {arm}, two views: {said}', [o[what] for o in found], [o[f'peer_{what}'] for o in found], 's', 'a fifth' if what!='add' else 'less', lambda a, b: a<=b/(5 if what!='add' else 1), more=False))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='tta'):
        for k,said in dict(two='identity and hflip', random='identity and random views', chosen='chosen views').items():
            if any(k not in o for o in found): continue
            out.append(row(f"{arm}, plain fastai's learner, {said}: points of accuracy gained, against fastai's tta", [100*(o[k]-o['one']) for o in found], [100*(o['fastai']-o['one']) for o in found], 'points', 'as many', lambda a, b: a>=b))
            after = f", after {np.mean([o['choosing_seconds'] for o in found]):.0f} s on held-out rows to choose them" if k=='chosen' else f", {found[0]['views']} random views" if k=='random' else ''
            out.append(row(f'seconds of the same{after}', [o[f'{k}_seconds'] for o in found], [o['fastai_seconds'] for o in found], 's', 'half', lambda a, b: a<=b/2, more=False))
    for o in by.get(('labels','cifar10n_noisy'), [])[:1]:
        found = by['labels','cifar10n_noisy']
        out.append(row("cifar10n_noisy, label errors on frozen features: average precision, against cleanlab on the first round's probabilities", [o['precision_2'] for o in found], [o['precision_1'] for o in found], 'share', 'at least .85', lambda a, b: a>=.85))
        out.append(row('accuracy of a linear layer without the rows found, against the labels as they are', [100*o['dropped'] for o in found], [100*o['given'] for o in found], 'points', '3 points more', lambda a, b: a>=b+3))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='estimate'):
        told,apart = f"train and test told apart with an area of {np.mean([o['auc'] for o in found]):.2f}",[[100*abs(o[k]-o['score']) for o in found] for k in ('aware','folds')]
        if all(o['shifted'] for o in found): out.append(row(f"{arm}, {told}: points that the estimate before the test is off, against random folds", *apart, 'points', 'half', lambda a, b: a<=b/2, more=False))
        else: out.append(count(f"{arm}, {told}{', its labels corrected' if arm=='cifar10n_noisy' else ''}: the test within the interval of the estimate before it, which is off by {np.mean(apart[0]):.1f} points (random folds {np.mean(apart[1]):.1f})", [o['low']<=o['score']<=o['high'] for o in found]))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='search'):
        building,exact,took = (np.mean([o[k] for o in found]) for k in ('building','exact','seconds'))
        out.append(row(f"{arm}, 10,000 queries, top 5, by an index that takes {building:.0f} s to build and {np.mean([o['gigabytes'] for o in found]):.1f} GB of memory at most, vectors and exact search included, which pays from {10_000*building/(exact-took):,.0f} queries on, and finds {np.mean([o['recall'] for o in found]):.3f}, against exact search", [o['seconds'] for o in found], [o['exact'] for o in found], 's', 'a fifth, and .95 found', lambda a, b: a<=b/5 and all(o['recall']>=.95 for o in found), more=False))
        for k in ('usearch','hnswlib'):
            if graph := [o for o in found if k in o]: out.append(row(f"the same against a graph ({k}), which takes {np.mean([o[k]['building'] for o in graph]):.0f} s to build and finds {np.mean([o[k]['recall'] for o in graph]):.3f}", [o['seconds'] for o in graph], [o[k]['seconds'] for o in graph], 's', 'none', None, more=False))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='drawings'):
        out.append(row(f"{arm}: MAP@5 by what held-out rows choose, against class means at one size", [o['test'] for o in found], [o['means'] for o in found], 'share', 'at least .55', lambda a, b: a>=.55))
        out.append(row(f"{arm}: points that held-out rows, of classes with a drawing less, were off the test", [100*abs(o['valid']-o['test']) for o in found], None, 'points', 'none', None))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='pseudo'):
        out.append(row(f'{arm}: points of accuracy with pseudo-labels for the rest, against none', [100*(o['after'] if o['stays'] else o['before']) for o in found], [100*o['before'] for o in found], 'points', '3 points more', lambda a, b: a>=b+3))
    for (_,arm),found in ((k,v) for k,v in by.items() if k[0]=='another_round'):
        out.append(row(f"{arm} by cvkit_run --pseudo: accuracy, against a run of as many minutes", [o['after'] for o in found], [o['longer'] for o in found], 'share', 'more', lambda a, b: a>b))
    for o in by.get(('kills','20 kills'), []): out.append(row(f"ledger: of {o['told']} blocks that were acknowledged before {o['kills']} kills, lost", [o['lost']], None, 'blocks', 'none', lambda a: a.sum()==0))
    return out

def main():
    if sys.argv[1:2]==['--write']: return write_until_killed(sys.argv[2])
    a = BENCH.parser().parse_args()
    a.scratch = a.scratch.resolve()
    BENCH.run(a)

if __name__=='__main__': main()
