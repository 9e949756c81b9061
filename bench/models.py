"""Heads, losses, surgery and steps, measured on real images: what earns its place, held out and on test rows.

    python bench/models.py DATA ANSWERS WEIGHTS [JOB ...] [--seeds 3]

DATA holds the competitions, ANSWERS their `NAME.csv`, read for scoring alone. A job trains its arms alike but for what their name says; the arm that held-out
rows choose is the one whose test score counts. `bench/models.json` is written after every training, and what stands there for the present state of the code that
is measured is not trained again: a stopped bench goes on. What was measured in an earlier state stays until it is measured again, and says so. Jobs may run beside one another, each in a process of its own; those that measure time want a machine
without other work.
"""
import json, os, subprocess, sys, time
from copy import deepcopy
from functools import partial
from itertools import pairwise
from pathlib import Path
import numpy as np, pandas as pd, timm, torch
import torch.nn.functional as F
from fastai.vision.all import Adam, Callback, DataLoader, DataLoaders, ImageDataLoaders, Learner, Normalize, Resize, ResizeMethod, SGD, aug_transforms, default_device
from PIL import Image
from torch import nn
import cvkit.folds, cvkit.headstart, cvkit.loaders, sets
from cvkit.backbone import timm_body
from cvkit.callback.batchnorm import body_norms
from cvkit.core import chip
from cvkit.data import Competition
from cvkit.heads import CosineLinear, make_head, repool
from cvkit.learner import inputs, timm_learner, train_counts
from cvkit.losses import class_weights, make_loss
from cvkit.margins import MarginLoss, PartialFC, margins_from_counts
from cvkit.plan import Phase, Plan
from cvkit.surgery import costs, fold_batchnorm, latency, to_depthwise
from record import Bench, count, row
from sets import accuracies, answers, other_visits, shares

BENCH = Bench(__file__, lambda raw: summary(raw), sets.__file__)
job   = BENCH.job

def quietly(learn, plan):
    "`learn` after `plan`, and the seconds that it took"
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(plan, monitor='epoch')
    return round(time.monotonic()-begun, 1)

# Retrieval

@torch.no_grad()
def embeddings(learn, comp, df):
    "What the classifier is given for the rows of `df`, of length 1"
    learn.model.eval()
    return np.concatenate([F.normalize(learn.model[1].embed(learn.model.features(*inputs(learn, b)))).cpu().numpy() for b in learn.dls.test_dl(comp.items(df))])

def by_class(queries, gallery, labels):
    "Similarity of each query to the mean drawing of each class, (queries, classes), and the classes"
    names,y = np.unique(labels, return_inverse=True)
    means = np.zeros((len(names), gallery.shape[1]), gallery.dtype)
    np.add.at(means, y, gallery)
    return queries@(means/np.linalg.norm(means, axis=1, keepdims=True)).T, names

def map5(sims, names, truth, threshold, share=None):
    "MAP@5 where `new_emoji` is as near as `threshold`; new ones are weighted to be a `share` of all"
    sims, names = np.hstack([sims, np.full((len(sims),1), threshold)]), np.append(names, 'new_emoji')
    best = names[np.argsort(-sims, 1)[:,:5]]
    new = truth=='new_emoji'
    weights = None if share is None else np.where(new, share/new.mean(), (1-share)/(1-new.mean()))
    return float(np.average(((best==truth[:,None])/np.arange(1, 6)).sum(1), weights=weights))

def retrieved(a, comp, new, known, embed):
    "Scores of `embed`, a function from rows to vectors of length 1: the threshold is chosen on held-out rows, then the test is scored with it"
    labels, query = comp.train.label.to_numpy(), (new|known).to_numpy()
    all_train, all_test = embed(comp.train), embed(comp.test)
    sims,names = by_class(all_train[query], all_train[~query], labels[~query])
    truth = np.where(new[query], 'new_emoji', labels[query])
    share = 1-len(comp.classes)/len(comp.test) # each class has one drawing in the test
    scores = {t: map5(sims, names, truth, t, share) for t in np.quantile(sims.max(1), np.linspace(0, 1, 41))}
    best = max(scores, key=scores.get)
    return dict(valid=scores[best], test=map5(*by_class(all_test, all_train, labels), answers(a, 'emoji_retrieval', comp.test), best), threshold=float(best))

OURS = dict(kind='cosine', loss='arc', margin=.3, pool='gem', stages=(3,4), neck=512)
def but(**kw): return {**OURS, **kw}
@job({'ArcFace': OURS, 'average, not GeM': but(pool='avg'), 'the last map alone': but(stages=None), 'the last map, average': but(stages=None, pool='avg'), 'no neck': but(neck=None),
      'margin by counts': but(margin='power4'), 'two centers': but(centers=2), 'a tenth of the classes a step': but(rate=.1), 'no margin': but(margin=0.), 'softmax': but(kind='linear', loss=None), 'plain softmax': dict()},
     'backbone', 'heads', 'margins', 'learner', 'plan', 'runner', 'loaders', 'augment', size=64, epochs=10)
def retrieval(a, seed, size, epochs, pool=None, stages=None, neck=None, kind='linear', loss=None, margin=0., rate=1., **kw):
    "emoji_retrieval: MAP@5 by the mean drawing of a class, new ones by a threshold tuned on held-out rows"
    comp = Competition(a.data/'emoji_retrieval')
    new, known = shares(comp, seed)
    body = timm_body('tf_efficientnet_lite0', a.weights)
    if pool: body = repool(body, pool, stages)
    dls = comp.dataloaders(size, 64, valid=new|known, flip=0, augment=.5, seed=seed, num_workers=0)
    head = make_head(body, dls.c, kind, neck, **kw)
    loss = loss and MarginLoss(loss, margins_from_counts(np.maximum(train_counts(dls), 1), margin) if isinstance(margin, str) else margin)
    learn = timm_learner(dls, body, head=head, loss_func=loss, label_smoothing=0 if loss else .1, cbs=[PartialFC(rate)] if rate<1 else [])
    seconds = quietly(learn, Plan([Phase('fit', epochs, size, lr=1e-2, body_lr=.3, augment=.5, freeze_stats=False)]))
    return dict(retrieved(a, comp, new, known, partial(embeddings, learn, comp)), seconds=seconds)

class QuickArcFace(nn.Module):
    "Average pooling, a neck of 512 and cosines to the classes, as one writes it in an afternoon"
    def __init__(self, body, classes):
        super().__init__()
        self.body,self.neck = body,nn.Sequential(nn.Linear(body.num_features, 512), nn.BatchNorm1d(512))
        self.classes = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, 512)))
    def embed(self, x): return F.normalize(self.neck(self.body(x)))
    def forward(self, x): return self.embed(x)@F.normalize(self.classes).T

def arc_loss(cos, y, margin=.3, scale=30):
    own = torch.zeros_like(cos, dtype=torch.bool).scatter_(1, y[:,None], True)
    return F.cross_entropy(scale*torch.where(own, (cos.clamp(-1+1e-6, 1-1e-6).acos()+margin).cos(), cos), y)

@job({f'rate {lr}': dict(lr=lr) for lr in (3e-3, 1e-3)}, size=96, epochs=8)
def quick(a, seed, size, epochs, lr):
    "The peer of `retrieval`: plain fastai, eight epochs of one cycle at 96 px; the same held-out rows, class means and threshold"
    comp = Competition(a.data/'emoji_retrieval')
    new, known = shares(comp, seed)
    df = comp.train.assign(image=comp.train.image.map(lambda o: Path(o).name), valid=known)[~new]
    dls = ImageDataLoaders.from_df(df, comp.path, folder='train_images', fn_col='image', label_col='label', valid_col='valid', bs=64, num_workers=0,
        item_tfms=Resize(size, ResizeMethod.Squish), batch_tfms=[*aug_transforms(do_flip=False, size=size, min_scale=.75), Normalize.from_stats([.5]*3, [.5]*3, cuda=default_device().type=='cuda')])
    learn = Learner(dls, QuickArcFace(timm_body('tf_efficientnet_lite0', a.weights).model, dls.c), arc_loss, path=a.scratch)
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    seconds = round(time.monotonic()-begun, 1)
    @torch.no_grad()
    def embed(rows):
        learn.model.eval()
        return np.concatenate([learn.model.embed(b[0]).as_subclass(torch.Tensor).cpu().numpy() for b in dls.test_dl([Path(o) for o in rows.image])])
    return dict(retrieved(a, comp, new, known, embed), seconds=seconds)

# Rare classes and wrong labels

def train(learn, size, epochs):
    "The seconds of a head start, then all layers"
    return quietly(learn, Plan.default(size, epochs, 1., 16))

def long_tailed(comp, ratio=12, seed=0):
    "Leave so many rows of each class that counts fall evenly in their logarithm, from those of the most frequent class to a twelfth of it; at least three a class"
    n = comp.train.label.value_counts()
    wanted = (n.iloc[0]*ratio**-np.linspace(0, 1, len(n))).round().clip(3)
    most = pd.Series(np.minimum(wanted, n.to_numpy()).astype(int), n.index)
    shuffled = comp.train.sample(frac=1, random_state=seed)
    comp.train = comp.train[comp.train.index.isin(shuffled[shuffled.groupby('label').cumcount()<shuffled.label.map(most)].index)]
    return comp

@job({'cross entropy': dict(), 'focal': dict(loss='focal'), 'class weights': dict(balance=.999), 'balanced softmax': dict(loss='balanced_softmax'),
      'logits adjusted 1.5': dict(loss='logit_adjustment', tau=1.5), 'logits adjusted .5, class weights': dict(loss='logit_adjustment', tau=.5, balance=.999),
      'cosines': dict(margin=0.), 'one margin': dict(margin=.3), 'margins by counts': dict(margin='power4'), 'margins by counts, class weights': dict(margin='power4', balance=.999)}, 'losses', 'margins', 'learner', 'headstart', 'plan', 'runner', 'loaders', 'augment', size=112, epochs=3)
def longtail(a, seed, size, epochs, loss='cross_entropy', margin=None, balance=None, **kw):
    "grocery made long-tailed: balanced accuracy"
    comp = long_tailed(Competition(a.data/'grocery'))
    held = other_visits(comp, a.weights, seed)
    dls = comp.dataloaders(size, 32, valid=held, augment=.5, seed=seed)
    n = train_counts(dls)
    if margin is not None: loss = MarginLoss('cos', margins_from_counts(n, margin) if isinstance(margin, str) else margin, label_smoothing=.1, weight=balance and class_weights(n, balance))
    else: loss = make_loss(loss, n, balance, label_smoothing=.1, **kw)
    learn = timm_learner(dls, weights=a.weights, head='linear' if margin is None else 'cosine', loss_func=loss)
    seconds = train(learn, size, epochs)
    return accuracies(a, learn, comp, 'grocery', held) | dict(seconds=seconds)

@job({'cross entropy': dict(), 'cross entropy, smoothed': dict(label_smoothing=.1), 'gce': dict(loss='gce'), 'sce': dict(loss='sce'), 'bi-tempered .8, 1.2': dict(loss='bi_tempered'),
      'bi-tempered .5, 2': dict(loss='bi_tempered', t1=.5, t2=2.)}, 'losses', 'learner', 'headstart', 'plan', 'runner', 'loaders', 'augment', size=64, epochs=3)
def noise(a, seed, size, epochs, loss='cross_entropy', **kw):
    "cifar10n_noisy: accuracy; the held-out labels are noisy as well"
    comp = Competition(a.data/'cifar10n_noisy')
    held = comp.folds(seed=seed)==0
    dls = comp.dataloaders(size, 64, valid=held, augment=.5, seed=seed)
    learn = timm_learner(dls, weights=a.weights, loss_func=make_loss(loss, **kw))
    seconds = train(learn, size, epochs)
    return accuracies(a, learn, comp, 'cifar10n_noisy', held) | dict(seconds=seconds)

# Time and memory

@job({o: dict(arch=o) for o in ('tf_efficientnet_lite0', 'resnet18d')}, 'learner', 'depthwise', 'core', size=128, bs=32)
def step(a, seed, size, bs, arch):
    "Images a second of training steps: as `timm_learner` trains by itself, and in each way by hand, in turn"
    comp,device = Competition(a.data/'trashnet'),default_device()
    learn = timm_learner(comp.dataloaders(size, bs), arch)
    learn.unfreeze()
    x,y = torch.randn(bs, 3, size, size, device=device),torch.arange(bs, device=device)%6
    fresh = lambda: timm.create_model(arch, num_classes=6).to(device)
    last = lambda o: o.to(memory_format=torch.channels_last)
    ways = dict(cvkit=(learn.model.to(device), last if chip().channels_last else lambda o: o, None))
    for k,dtype in dict(fp32=None, bf16=torch.bfloat16, **(dict(fp16=torch.float16) if device.type=='cuda' else {})).items():
        ways |= {k: (fresh(), lambda o: o, dtype), f'{k}, channels last': (last(fresh()), last, dtype)}
    def go(model, form, dtype):
        with torch.autocast(device.type, dtype, enabled=dtype is not None): out = model(form(x))
        F.cross_entropy(out.float(), y).backward()
        for p in model.parameters(): p.grad = None
        finish()
    took = {k: [] for k in ways}
    for repeat in range(3 if device.type=='cpu' else 12):
        for k,w in ways.items():
            w[0].train()
            for warm in range(2):
                begun = time.perf_counter(); go(*w)
            took[k].append(time.perf_counter()-begun)
    return {k: round(bs/float(np.median(v)), 1) for k,v in took.items()}

@job({o: dict(arch=o) for o in ('tf_efficientnet_lite0', 'resnet50d', 'regnety_008')}, 'fused', 'backbone', 'depthwise', 'learner', 'core', size=128, bs=32)
def standing(a, seed, size, bs, arch):
    "Images a second of training steps, and MB that an image keeps for the backward pass: batch norm with frozen statistics inside the convolutions, and by itself, in turn"
    learn = timm_learner(Competition(a.data/'trashnet').dataloaders(size, bs), arch)
    model,device = learn.model.to(default_device()),default_device()
    x,y = (o.to(device) for o in (torch.randn(bs, 3, size, size),torch.arange(bs)%6))
    if chip().channels_last: x = x.to(memory_format=torch.channels_last)
    pairs,took = model[0].pairs,{}
    def loss(n=bs): return F.cross_entropy(model(x[:n]), y[:n])
    def kept(n):
        found = {}
        def keep(o): found[o.untyped_storage().data_ptr()] = o.untyped_storage().nbytes(); return o
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda o: o): loss(n)
        return sum(found.values())/2**20
    for repeat in range(12):
        for k,p in (('inside',pairs),('by_itself',[])):
            model[0].pairs = p
            model.train()
            for m in body_norms(model): m.eval()
            begun = time.perf_counter(); loss().backward(); model.zero_grad(); finish()
            if repeat>1: took.setdefault(f'{k}_step', []).append(time.perf_counter()-begun)
            if not repeat: took[f'{k}_mb'] = (kept(bs)-kept(bs//2))/(bs-bs//2)
    return {k: round(bs/float(np.median(v)) if k[-2:]!='mb' else v, 2) for k,v in took.items()}

def finish():
    "Wait for the card"
    if torch.cuda.is_available(): torch.cuda.synchronize()

class Steps(Callback):
    "When batches begin"
    order = -100
    def before_fit(self): self.begun = []
    def before_batch(self): finish(); self.begun.append(time.perf_counter())

def peak(reset=False):
    "Most memory so far or since `reset`, of the card or, without one, of this process, MB"
    if torch.cuda.is_available():
        if reset: torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()/2**20
    if reset: Path('/proc/self/clear_refs').write_text('5')
    return next(int(l.split()[1])/1024 for l in Path('/proc/self/status').read_text().splitlines() if l.startswith('VmHWM'))

def classes(bs, opt, rate, n, d=512, steps=6):
    "MB beyond what was there and median seconds of a step of ArcFace over `n` classes, all of them or a share `rate`"
    x,y = torch.randn(bs*steps, d),torch.randint(n, (bs*steps,))
    dls = DataLoaders(*[DataLoader(list(zip(x,y)), bs=bs)]*2, device=default_device())
    base = peak(True)
    learn = Learner(dls, nn.Sequential(nn.Linear(d, d), CosineLinear(d, n)), MarginLoss('arc', .3), opt_func=dict(adam=Adam, sgd=partial(SGD, mom=.9))[opt],
                    splitter=lambda m: [list(o.parameters()) for o in m], cbs=[Steps(), *([PartialFC(rate)] if rate<1 else [])])
    learn._do_epoch_validate = lambda *_, **__: None
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    return dict(mb=round(peak()-base), s=float(np.median([b-a for a,b in pairwise(learn.steps.begun[1:])])))

@job({f'{opt}, {bs} images': dict(opt=opt, bs=bs) for bs in (128,512) for opt in ('adam','sgd')}, 'heads', 'margins', n=100_000, rate=.1)
def head(a, seed, opt, bs, n, rate):
    "A head of 100,000 classes at 512 dimensions, a tenth of the classes a step against all; without a card on one core, each in a process of its own, for the memory in one that gives freed blocks back"
    def run(r, **env):
        if torch.cuda.is_available(): classes(bs, opt, r, 100); return classes(bs, opt, r, n, steps=30)
        args = [sys.executable, '-W', 'ignore', __file__, a.data, a.answers, a.weights, '--classes', json.dumps(dict(bs=bs, opt=opt, rate=r, n=n))]
        return json.loads(subprocess.run(args, check=True, text=True, stdout=subprocess.PIPE, env={**os.environ, **env, 'OMP_NUM_THREADS': '1'}).stdout.splitlines()[-1])
    out = {}
    for k,r in (('full',1.), ('sampled',rate)): out |= {f'{k}_s': run(r)['s'], f'{k}_mb': run(r, MALLOC_MMAP_THRESHOLD_='1000000')['mb']}
    return out

# Depthwise surgery

def pixels_of(items, size):
    "The images of `items` as (n, 3, size, size) bytes"
    read = lambda p: torch.from_numpy(np.array(Image.open(p).convert('RGB').resize((size,size), Image.BILINEAR)))
    return torch.stack([read(p) for p in items.image]).permute(0,3,1,2).contiguous()

def prepared(x, rng=None, pad=6):
    "A batch as the network gets it; with `rng` shifted, and every other image mirrored"
    x = x.float().sub_(118).div_(62)
    if rng is not None:
        s,(dy,dx) = x.shape[-1],rng.integers(0, 2*pad+1, (2,len(x)))
        x = F.pad(x, (pad,)*4)
        x = torch.stack([o[:, a:a+s, b:b+s] for o,a,b in zip(x, dy, dx)])
        x[::2] = x[::2].flip(-1)
    return x.contiguous(memory_format=torch.channels_last)

def fitted(net, x, y, epochs, lr, seed, bs=64):
    "`net` after AdamW: the rate rises for a tenth of the steps, then falls as a cosine"
    rng,opt,n = np.random.default_rng(seed),torch.optim.AdamW(net.parameters(), lr, weight_decay=.05),len(x)//bs
    net.train()
    for e in range(epochs):
        for k,i in enumerate(np.array_split(rng.permutation(len(x)), n)):
            pos = (e*n+k)/(epochs*n)
            for g in opt.param_groups: g['lr'] = lr*min(10*pos, .5+.5*np.cos(np.pi*pos))+1e-6
            opt.zero_grad(); F.cross_entropy(net(prepared(x[i], rng)), y[i], label_smoothing=.1).backward(); opt.step()
    return net.eval()

@torch.no_grad()
def share_right(net, x, y):
    "Share of right answers, over both mirror images"
    return torch.cat([(net(o).softmax(1)+net(o.flip(-1)).softmax(1)).argmax(1) for o in map(prepared, x.split(128))]).eq(y).float().mean().item()

@job({'channels by weights alone': dict(data=False), 'channels by their inputs': dict(data=True)}, 'surgery', size=64, epochs=40, tune=6)
def surgery(a, seed, size, epochs, tune, data):
    "A resnet18 of half the width, trained on trashnet from nothing: half its multiply-adds are cut, then it and the network as it was are tuned alike"
    comp = Competition(a.data/'trashnet')
    train,test = comp.items(comp.train),comp.items(comp.test)
    coded = lambda names: torch.tensor([comp.classes.index(o) for o in names])
    x,y,xt,yt = pixels_of(train, size),coded(comp.train.label[train.index]),pixels_of(test, size),coded(answers(a, 'trashnet', test))
    net = timm.create_model('resnet18', num_classes=len(comp.classes), channels=(32,64,128,256)).to(memory_format=torch.channels_last)
    fitted(net, x, y, epochs, 2e-3, seed)
    cut,some = deepcopy(net),prepared(x[:128])
    to_depthwise(cut, some, .5, data=some if data else None)
    out = dict(before=share_right(net, xt, yt), after=share_right(cut, xt, yt), share=costs(cut, some)['macs']/costs(net, some)['macs'])
    fitted(cut, x, y, tune, 5e-4, seed+1)
    ms = {k: latency(fold_batchnorm(o, some), some[:32]) for k,o in (('ms',cut),('ms_before',net))}
    return out | ms | dict(tuned=share_right(cut, xt, yt), control=share_right(fitted(net, x, y, tune, 5e-4, seed+1), xt, yt))

def summary(raw):
    "The rows of the table for which there is something, on each chip: the arm that held-out rows choose against the peer, by seed"
    swept = [o['passes'] for o in json.loads(BENCH.results.with_name('families.json').read_text())['rows']]
    return [dict(count('families of timm that pass the whole sweep', swept), unit='families', chip='CPU'),
            *(dict(o, chip=chip) for chip in dict.fromkeys(o['chip'] for o in raw) for o in on_one([o for o in raw if o['chip']==chip]))]

def on_one(raw):
    "Rows of an earlier state of the code count only where a job has no others"
    by, now = {}, {o['job'] for o in raw if BENCH.present(o)}
    for o in raw:
        if o['job'] in BENCH.jobs and o['arm'] in BENCH.jobs[o['job']]['arms'] and (o['job'] not in now or BENCH.present(o)): by.setdefault(o['job'], {}).setdefault(o['arm'], {})[o['seed']] = o
    def best(job): return max(by[job], key=lambda k: np.mean([o['valid'] for o in by[job][k].values()]))
    def pairs(mine, other, *keys): return [[[o[s][k] for s in sorted(mine.keys()&other.keys())] for o in (mine,other)] for k in keys]
    out = []
    if {'retrieval','quick'}<=by.keys():
        k = best('retrieval')
        score,seconds = pairs(by['retrieval'][k], by['quick'][best('quick')], 'test', 'seconds')
        out += [row(f'emoji_retrieval, MAP@5 ({k})', [o['test'] for o in by['retrieval'][k].values()], None, 'share', 'at least 0.50', lambda a: a.mean()>=.5),
                row('the same, against ArcFace in plain fastai', *score, 'share', 'better', lambda a, b: a>b),
                row('the same, training', *seconds, 's', 'no more time', lambda a, b: a<=b, more=False)]
    at = by.get('retrieval', {})
    if {'ArcFace','a tenth of the classes a step'}<=at.keys():
        out.append(row('the same, a tenth of the classes a step against all', *pairs(at['a tenth of the classes a step'], at['ArcFace'], 'test')[0], 'share', 'as good', lambda a, b: a>=b-.01))
    for job,what in (('longtail','grocery made long-tailed, balanced accuracy'), ('noise','cifar10n_noisy, accuracy')):
        if job in by and 'cross entropy' in by[job]:
            k = best(job)
            out.append(row(f'{what} ({k})', *pairs(by[job][k], by[job]['cross entropy'], 'test')[0], 'share', 'at least +0.03', lambda a, b: a-b>=.03))
    for k,o in by.get('head', {}).items():
        both = lambda m: ([v[f'sampled_{m}'] for v in o.values()], [v[f'full_{m}'] for v in o.values()])
        out += [row(f'head of 100,000 classes, {k}: memory', *both('mb'), 'MB', 'a third', lambda a, b: a<=b/3, more=False), row('the same, a step', *both('s'), 's', 'half', lambda a, b: a<=b/2, more=False)]
    for k,o in by.get('step', {}).items():
        ways = [w for w in next(iter(o.values())) if w.startswith(('fp32','bf16'))]
        other = max(ways, key=lambda w: np.mean([v[w] for v in o.values()]))
        out.append(row(f'training steps of {k}, against the best way by hand ({other})', [v['cvkit'] for v in o.values()], [v[other] for v in o.values()], 'images/s', 'the best by itself', lambda a, b: a>=.97*b))
    for k,o in by.get('standing', {}).items():
        both = lambda what: [[v[f'{side}_{what}'] for v in o.values()] for side in ('inside','by_itself')]
        out += [row(f'{k}, batch norm with frozen statistics inside the convolutions, against by itself: training steps', *both('step'), 'images/s', 'more', lambda a, b: a>b),
                row('the same, kept for the backward pass', *both('mb'), 'MB an image', 'less', lambda a, b: a<b, more=False)]
    for k,o in by.get('surgery', {}).items():
        col = lambda m: [v[m] for v in o.values()]
        out += [row(f'depthwise surgery ({k}), accuracy', col('tuned'), col('control'), 'share', 'at most -0.01', lambda a, b: b-a<=.01),
                row('the same, multiply-adds', col('share'), [1.]*len(o), 'share', 'half', lambda a, b: a<=.5, more=False), row('the same, 32 images', col('ms'), col('ms_before'), 'ms', 'faster', lambda a, b: a<b, more=False)]
    return out

def main():
    p = BENCH.parser()
    p.add_argument('--classes', type=json.loads, help='for the job `head`, which runs it in processes of its own')
    p.add_argument('--precision', help="of the learners; what the chip does well by itself")
    a = p.parse_args()
    if a.classes: classes(**{**a.classes, 'rate': 1., 'n': 100}); print(json.dumps(classes(**a.classes))); return
    if a.precision: globals().update(timm_learner=partial(timm_learner, precision=a.precision))
    BENCH.run(a, precision=a.precision or chip().precision)

if __name__=='__main__': main()
