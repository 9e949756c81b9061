"""Heads and losses on real images: what earns its place, held out and on test rows.

    python bench/models.py DATA ANSWERS WEIGHTS [JOB ...] [--seeds 3]

DATA holds the competitions, ANSWERS their `NAME.csv`, read for scoring alone. A job trains its arms alike but for what their name says; the arm that held-out
rows choose is scored on the test rows. `bench/models.json` is written after every training, and what stands there for the present state of the measured
modules is not trained again: a stopped bench goes on.
"""
import argparse, hashlib, json, platform, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from sklearn.metrics import balanced_accuracy_score
import cvkit, cvkit.folds, cvkit.headstart, cvkit.loaders
from cvkit.backbone import timm_body
from cvkit.core import chip, n_workers, seed_all
from cvkit.data import Competition
from cvkit.heads import make_head, repool
from cvkit.learner import predict, timm_learner, train_counts
from cvkit.losses import make_loss
from cvkit.margins import MarginLoss, margins_from_counts
from cvkit.plan import Plan

RESULTS = Path(__file__).resolve().with_name('models.json')
JOBS    = {}

def code(*modules): return hashlib.sha1(b''.join((Path(cvkit.__file__).parent/f'{m}.py').read_bytes() for m in modules)).hexdigest()[:12]

def job(arms, *modules, **same):
    "Register a function of (arguments, seed, arm, **same) that gives scores; `modules` are what it measures"
    def add(f): JOBS[f.__name__] = dict(run=f, arms=arms, code=code(*modules), same=same); return f
    return add

def train(learn, size, epochs):
    "A head start, then all layers"
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(Plan.default(size, epochs, 1., 16), monitor='epoch')
    return learn

# Retrieval

def shares(comp, seed):
    "Which training rows are held out: all drawings of 5 % of the classes, and one drawing of another 15 %"
    rng, label = np.random.default_rng(seed), comp.train.label
    order = rng.permutation(label.unique())
    new, known = np.split(order[:round(.2*len(order))], [round(.05*len(order))])
    one = comp.train[label.isin(known)].sample(frac=1, random_state=seed).groupby('label').head(1).index
    return label.isin(new), pd.Series(label.index.isin(one), label.index)

@torch.no_grad()
def embeddings(learn, comp, df):
    "What the classifier is given for the rows of `df`, of length 1"
    learn.model.eval()
    return np.concatenate([torch.nn.functional.normalize(learn.model[1].embed(learn.model.features(b[0]))).numpy() for b in learn.dls.test_dl(comp.items(df))])

def nearest(queries, gallery, labels):
    "The similarity of each query to the nearest drawing of each class, (queries, classes), and the classes"
    order = np.argsort(labels, kind='stable')
    names,first = np.unique(labels[order], return_index=True)
    return np.maximum.reduceat(queries@gallery[order].T, first, axis=1), names

def map5(sims, names, truth, threshold, share=None):
    "MAP@5 where `new_emoji` is as near as `threshold`; new ones are weighted to be a `share` of all"
    sims, names = np.hstack([sims, np.full((len(sims),1), threshold)]), np.append(names, 'new_emoji')
    best = names[np.argsort(-sims, 1)[:,:5]]
    new = truth=='new_emoji'
    weights = None if share is None else np.where(new, share/new.mean(), (1-share)/(1-new.mean()))
    return float(np.average(((best==truth[:,None])/np.arange(1, 6)).sum(1), weights=weights))

ARC = dict(kind='cosine', loss='arc')
@job({'softmax': dict(), 'softmax, GeM': dict(pool='gem'), 'softmax, GeM, neck': dict(pool='gem', neck=512),
      'cosine, GeM, neck': dict(ARC, pool='gem', neck=512, margin=0.),
      'margin .3, GeM, neck': dict(ARC, pool='gem', neck=512, margin=.3), 'margin .3, neck': dict(ARC, neck=512, margin=.3), 'margin .3, GeM': dict(ARC, pool='gem', margin=.3),
      'margin by counts, GeM, neck': dict(ARC, pool='gem', neck=512, margin='power4'), 'margin .3, 2 centers, GeM, neck': dict(ARC, pool='gem', neck=512, margin=.3, centers=2)},
     'heads', 'margins', size=64, epochs=4)
def retrieval(a, seed, size, epochs, pool=None, neck=None, kind='linear', loss=None, margin=0., **kw):
    "emoji_retrieval: MAP@5 by the nearest drawing, new ones by a threshold tuned on held-out rows"
    comp = Competition(a.data/'emoji_retrieval')
    new, known = shares(comp, seed)
    rest = ~(new|known)
    body = timm_body('tf_efficientnet_lite0', a.weights)
    if pool: body = repool(body, pool)
    dls = comp.dataloaders(size, 64, valid=~rest, flip=0, augment=.5, seed=seed)
    head = make_head(body, dls.c, kind, neck, **kw)
    loss = loss and MarginLoss(loss, margins_from_counts(np.maximum(train_counts(dls), 1), margin) if isinstance(margin, str) else margin)
    begun = time.monotonic()
    learn = train(timm_learner(dls, body, head=head, loss_func=loss, label_smoothing=0 if loss else .1), size, epochs)
    took = time.monotonic()-begun
    all_train, all_test, labels = embeddings(learn, comp, comp.train), embeddings(learn, comp, comp.test), comp.train.label.to_numpy()
    gallery, query = rest.to_numpy(), (new|known).to_numpy()
    sims,names = nearest(all_train[query], all_train[gallery], labels[gallery])
    truth = np.where(new[query], 'new_emoji', labels[query])
    share = 1-len(comp.classes)/len(comp.test) # each class has one drawing in the test
    scores = {t: map5(sims, names, truth, t, share) for t in np.quantile(sims.max(1), np.linspace(0, 1, 41))}
    best = max(scores, key=scores.get)
    answers = pd.read_csv(a.answers/'emoji_retrieval.csv', dtype=str).set_index('image').label
    test = map5(*nearest(all_test, all_train, labels), answers[[Path(p).name for p in comp.test.image]].to_numpy(), best)
    return dict(valid=scores[best], test=test, seconds=round(took, 1))

# Rare classes and wrong labels

def accuracies(a, learn, comp, name, held):
    "Plain and balanced accuracy on the held-out and on the test rows"
    classes, out = np.array(comp.classes), {}
    answers = pd.read_csv(a.answers/f'{name}.csv', dtype=str).set_index('image').label
    for part,df,truth in (('valid', comp.train[held.reindex(comp.train.index).to_numpy(bool)], comp.train.label), ('test', comp.test, answers)):
        items = comp.items(df)
        p = predict(learn, learn.dls.test_dl(items))['identity'].argmax(1)
        y = truth[items.index].to_numpy() if part=='valid' else answers[[Path(o).name for o in items.image]].to_numpy()
        out |= {part: balanced_accuracy_score(y, classes[p]), f'{part}_plain': float((y==classes[p]).mean())}
    return out

def long_tailed(comp, ratio=12, seed=0):
    "Leave so many rows of each class that counts fall evenly in their logarithm, from those of the most frequent class to a twelfth of it; at least three a class"
    n = comp.train.label.value_counts()
    wanted = (n.iloc[0]*ratio**-np.linspace(0, 1, len(n))).round().clip(3)
    most = pd.Series(np.minimum(wanted, n.to_numpy()).astype(int), n.index)
    shuffled = comp.train.sample(frac=1, random_state=seed)
    comp.train = comp.train[comp.train.index.isin(shuffled[shuffled.groupby('label').cumcount()<shuffled.label.map(most)].index)]
    return comp

def one_in_five(comp, seed):
    "A fifth of the rows of each class, at least one, and at least two left"
    shuffled = comp.train.sample(frac=1, random_state=seed)
    n = shuffled.groupby('label').label.transform('size')
    return (shuffled.groupby('label').cumcount()<np.minimum((n/5).clip(1), n-2)).reindex(comp.train.index)

@job({'cross entropy': dict(), 'focal': dict(loss='focal'), 'class weights': dict(loss='cross_entropy', balance=.999), 'balanced softmax': dict(loss='balanced_softmax'),
      'logits adjusted 1.5': dict(loss='logit_adjustment', tau=1.5)}, 'losses', size=112, epochs=3)
def longtail(a, seed, size, epochs, loss='cross_entropy', **kw):
    "grocery made long-tailed: balanced accuracy"
    comp = long_tailed(Competition(a.data/'grocery'))
    held = one_in_five(comp, seed)
    dls = comp.dataloaders(size, 32, valid=held, augment=.5, seed=seed)
    begun = time.monotonic()
    learn = train(timm_learner(dls, weights=a.weights, loss_func=make_loss(loss, train_counts(dls), label_smoothing=.1, **kw)), size, epochs)
    return accuracies(a, learn, comp, 'grocery', held) | dict(seconds=round(time.monotonic()-begun, 1))

@job({'cross entropy': dict(), 'cross entropy, smoothed': dict(label_smoothing=.1), 'gce': dict(loss='gce'), 'sce': dict(loss='sce'), 'bi-tempered .8, 1.2': dict(loss='bi_tempered'),
      'bi-tempered .5, 2': dict(loss='bi_tempered', t1=.5, t2=2.)}, 'losses', size=64, epochs=3)
def noise(a, seed, size, epochs, loss='cross_entropy', **kw):
    "cifar10n_noisy: accuracy; the held-out labels are noisy as well"
    comp = Competition(a.data/'cifar10n_noisy')
    held = comp.folds(seed=seed)==0
    dls = comp.dataloaders(size, 64, valid=held, augment=.5, seed=seed)
    begun = time.monotonic()
    learn = train(timm_learner(dls, weights=a.weights, loss_func=make_loss(loss, **kw)), size, epochs)
    return accuracies(a, learn, comp, 'cifar10n_noisy', held) | dict(seconds=round(time.monotonic()-begun, 1))

def table(raw):
    "Means over the seeds that all arms of a job have"
    df = pd.DataFrame([o for o in raw if o['code']==JOBS[o['job']]['code']])
    return df.groupby(['job','arm'], sort=False).agg(valid=('valid','mean'), test=('test','mean'), least=('test','min'), most=('test','max'), seeds=('seed','nunique'), seconds=('seconds','mean')).round(4) if len(df) else df

def main():
    p = argparse.ArgumentParser()
    p.add_argument('data', type=Path); p.add_argument('answers', type=Path); p.add_argument('weights', type=Path)
    p.add_argument('jobs', nargs='*', choices=[[], *JOBS], default=[]); p.add_argument('--seeds', type=int, default=3); p.add_argument('--arms', nargs='*')
    a = p.parse_args()
    raw = json.loads(RESULTS.read_text())['raw'] if RESULTS.exists() else []
    for seed in range(a.seeds):
        for name in a.jobs or JOBS:
            j = JOBS[name]
            for arm,kw in j['arms'].items():
                key = dict(job=name, arm=arm, seed=seed, code=j['code'], **j['same'])
                if a.arms and arm not in a.arms or any(all(o.get(k)==v for k,v in key.items()) for o in raw): continue
                seed_all(seed)
                scores = j['run'](a, seed, **j['same'], **kw)
                raw = [o for o in raw if (o['job'],o['arm'],o['seed'])!=(name,arm,seed)]+[dict(key, **scores, cores=n_workers(64), precision=chip().precision)]
                print(raw[-1], flush=True)
                RESULTS.write_text(json.dumps(dict(machine=platform.machine(), raw=raw), indent=1)+'\n')
    print(table(raw).to_string())

if __name__=='__main__': main()
