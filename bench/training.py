"""The plan and what stands around it, measured on real images: what each trick earns, whether a night survives a kill, whether minutes are kept.

    python bench/training.py DATA ANSWERS WEIGHTS [JOB ...] [--seeds 3]

DATA holds the competitions, ANSWERS their `NAME.csv`, read for scoring alone. `bench/training.json` is written after every measurement; see `record.py` for
how a bench goes on. `tricks`, `few_images` and `kills` may run beside other work: epochs are given. `until` and `fine_tune` belong together: the same number of cores, both beside the same work. `equal`, `decoded`, `folds`, `plain`, `linear`, `budget`, `overhead` and `processes` want a machine without other work.
"""
import json, os, re, shutil, signal, subprocess, sys, time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from PIL import Image
from fastai.callback.core import Callback
from fastai.vision.all import accuracy
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
import cvkit.fit, cvkit.folds, cvkit.headstart, cvkit.loaders, cvkit.plans, cvkit.retrieval, cvkit.runner, sets
from cvkit.callback.ema import EMA
from cvkit.callback.guard import NaNGuard
from cvkit.callback.microbatch import MicroBatch
from cvkit.callback.resume import Resume
from cvkit.callback.soup import cook, copied
from cvkit.core import chip, seed_all
from cvkit.data import Competition
from cvkit.learner import outputs, predict, timm_learner
from cvkit.margins import MarginLoss
from cvkit.oof import Ledger
from cvkit.parallel import DataParallel
from cvkit.plan import Phase, Plan
from cvkit.probe import crop, held_out_losses, mirror
from cvkit.run import cvkit_run
from cvkit.testing import digits_competition
from record import Bench, count, row
from sets import accuracies, answers, other_visits

BENCH = Bench(__file__, lambda raw: summary(raw), sets.__file__)
job   = BENCH.job

# What each trick earns

class Epochs(Callback):
    "The states after the last three epochs, with their held-out losses: the ingredients of a soup, which `fit_plan` itself does not cook"
    order = 90 # after those that exchange weights or write the log
    def before_fit(self): self.kept = getattr(self, 'kept', deque(maxlen=3))
    def after_epoch(self):
        if not self.learn.lock.locked(): self.kept.append((self.recorder.values[-1][1], copied(self.model)))

def stir(learn, kept):
    "The greedy soup of the states in `kept`, judged by the held-out loss, goes into the model; how many states are in it"
    def measure(state):
        learn.model.load_state_dict(state)
        return learn.validate()[0]
    kept = sorted(kept, key=lambda o: o[0])
    soup,_,used,_ = cook([state for _,state in kept], kept[0][0], measure, np.less)
    learn.model.load_state_dict(soup)
    return len(used)

TRICKS = {'default': {}, 'no head start': dict(start=False), 'statistics moving': dict(freeze_stats=False), 'no warm-up': dict(warmup=0.), 'body at a third of the rate': dict(body_lr=.3), 'a third of the rate a stage': dict(decay=1/3), 'estimated at the end': dict(freeze_stats=False, estimate=True), 'affine frozen': dict(freeze_affine=True),
          'a quarter of the rate': dict(lr=Phase.lr/4), 'half the rate': dict(lr=Phase.lr/2), 'twice the rate': dict(lr=2*Phase.lr), 'last stage first': dict(first=2), 'stages from memory first': dict(memory=3), 'no label smoothing': dict(label_smoothing=0.), 'EMA': dict(cbs=EMA), 'soup': dict(soup=True),
          'growing images': dict(small=64), 'augmentation ramped': dict(ramp=True), 'half the augmentation': dict(augment=.5), 'blends ramped': dict(mix=.5, ramp=True),
          'trained at full size': dict(share=1.), 'decoded at 1.5 times the size': dict(kept=1.5), 'linear head': dict(margin=None), 'margin of .3': dict(margin=.3)}
SETS   = 'trashnet','grocery'

@job({f'{name}, {k}': dict(name=name, **kw) for name in SETS for k,kw in TRICKS.items()}, 'learner', 'headstart', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'loaders', 'augment', 'heads', 'margins', 'callback/ema', 'callback/batchnorm', 'callback/soup', size=128, epochs=3)
def tricks(a, seed, name, size, epochs, start=True, first=None, memory=None, share=6/7, label_smoothing=.1, margin=0., cbs=None, soup=False, kept=None, **kw):
    "The default plan with one thing changed, for so many epochs; the state after the last one counts"
    comp = Competition(a.data/name)
    held = other_visits(comp, a.weights, seed) if name=='grocery' else comp.folds(seed=seed)==0
    dls = comp.dataloaders(size, 32, valid=held, seed=seed)
    if kept: os.environ['XDG_CACHE_HOME'] = str(a.scratch); dls.keep_pixels(round(kept*size))
    head = dict(label_smoothing=label_smoothing) if margin is None else dict(head='cosine', loss_func=MarginLoss('cos', margin, label_smoothing=label_smoothing))
    learn = timm_learner(dls, weights=a.weights, metrics=accuracy, cbs=Epochs() if soup else cbs and cbs(), **head)
    *starts,tune = Plan.default(size, epochs, share)
    tune = replace(tune, **kw)
    phases = [replace(tune, name='last stage', epochs=1, groups=first), replace(tune, epochs=epochs-1)] if first else [tune]
    if memory: phases = [Phase('from memory', 8, tune.size, valid_size=size, groups=memory, views=4),tune]
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging():
        learn.fit_plan(Plan([*(starts if start else []), *phases]), monitor='epoch')
        cooked = dict(soup=stir(learn, learn.epochs.kept)) if soup else {}
    seconds = round(time.monotonic()-begun, 1)
    return dict(accuracies(a, learn, comp, name, held), **cooked, seconds=seconds)

# Plans by name

NAMED = 'default','unfreezing','bag_of_tricks','progressive','low_data','metric'

@job({f"{name}{f', {few} a class' if few else ''}, {plan}": dict(name=name, few=few, plan=plan, epochs=10 if few else 3) for name,few in (('trashnet',None), ('grocery',None), ('trashnet',10)) for plan in NAMED},
     'plan', 'plans', 'runner', 'timing', 'fit', 'optimizer', 'learner', 'heads', 'margins', 'headstart', 'loaders', 'augment', 'callback/ema', 'callback/batchnorm', size=128)
def plans(a, seed, name, few, plan, size, epochs):
    "A named plan for so many epochs, or on so many rows of each class for more of them"
    comp = Competition(a.data/name)
    held = other_visits(comp, a.weights, seed) if name=='grocery' else comp.folds(seed=seed)==0
    part,all_rows = copy(comp),comp.train
    if few: part.train = pd.concat([all_rows[held], all_rows[~held].groupby('label').sample(few, random_state=seed)])
    dls = part.dataloaders(size, 32, valid=held, seed=seed)
    head = dict(head='arcface') if plan=='metric' else dict(head='linear' if plan=='bag_of_tricks' else 'cosine', label_smoothing=.1)
    learn = timm_learner(dls, weights=a.weights, metrics=accuracy, **head)
    named = Plan.progressive((64,96,128), epochs) if plan=='progressive' else getattr(Plan, plan)(size, epochs)
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(named, monitor='accuracy' if few else 'epoch')
    seconds = round(time.monotonic()-begun, 1)
    return dict(accuracies(a, learn, comp, name, held), seconds=seconds)

# Many classes with few images

FEW = [('emoji_retrieval',64,None,8), *(('omniglot_small',96,k,epochs) for k,epochs in ((2,16),(5,8),(None,4))), *(('grocery',112,k,epochs) for k,epochs in ((2,16),(5,8)))]

@job({f"{name}{f', {k} a class' if k else ''}, {plan}": dict(name=name, size=size, k=k, epochs=epochs, plan=plan) for name,size,k,epochs in FEW for plan in ('default','metric')},
     'plan', 'plans', 'runner', 'timing', 'fit', 'optimizer', 'learner', 'heads', 'margins', 'headstart', 'loaders', 'augment', 'retrieval')
def few_images(a, seed, name, size, k, epochs, plan):
    "The default plan under cosines or `Plan.metric` under ArcFace, both after a head start, on so many images of each class: accuracies by the classifier as it was trained, and by class means"
    comp = Competition(a.data/name)
    held = comp.folds(seed=seed)==0
    if k:
        out = held.reindex(comp.train.index).to_numpy(bool)
        comp.train = pd.concat([comp.train[out], comp.train[~out].groupby('label').sample(frac=1, random_state=seed).groupby('label').head(k)])
        held = held[comp.train.index]
    dls = comp.dataloaders(size, 32, valid=held, seed=seed, flip=0 if name=='omniglot_small' else .5)
    learn = timm_learner(dls, weights=a.weights, metrics=accuracy, **(dict(head='arcface') if plan=='metric' else dict(head='cosine', label_smoothing=.1)))
    phases = Plan([Phase('head start', 0, size=size, head_start=True), *Plan.metric(size, epochs)]) if plan=='metric' else Plan.default(size, epochs)
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(phases, monitor='accuracy')
    seconds,found = round(time.monotonic()-begun, 1),accuracies(a, learn, comp, name, held)
    with learn.no_bar(): learn.imprint()
    means = accuracies(a, learn, comp, name, held)
    return dict(valid=found['valid_plain'], test=found['test_plain'], means_valid=means['valid_plain'], means_test=means['test_plain'], seconds=seconds)

# What heads earn

def log_losses(a, learn, comp, name, held):
    "Log loss on the held-out and on the test rows, and on the test rows after one temperature that the held-out ones choose"
    index,part = {c: i for i,c in enumerate(comp.classes)},{}
    for k,df in (('valid', comp.train[held.reindex(comp.train.index).to_numpy(bool)]), ('test', comp.test)):
        items = comp.items(df)
        y = comp.train.label[items.index] if k=='valid' else answers(a, name, items)
        part[k] = torch.tensor(predict(learn, learn.dls.test_dl(items))['identity']).clamp_min(1e-12).log(),torch.tensor([index[o] for o in y])
    best = min(np.geomspace(.3, 3, 47), key=lambda t: F.cross_entropy(part['valid'][0]*t, part['valid'][1]))
    return dict(valid_loss=float(F.nll_loss(*part['valid'])), test_loss=float(F.nll_loss(*part['test'])), test_loss_tempered=float(F.cross_entropy(part['test'][0]*best, part['test'][1])))

@job({f'{name}, {head}': dict(name=name, size=size, head=head) for name,size in dict(trashnet=128, grocery=128, omniglot_small=96, cifar10n_noisy=64).items() for head in ('linear','cosine')},
     'learner', 'heads', 'margins', 'headstart', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'loaders', 'augment', epochs=3)
def heads(a, seed, name, size, head, epochs):
    "The default plan for so many epochs under each head: accuracies and log losses"
    comp = Competition(a.data/name)
    held = other_visits(comp, a.weights, seed) if name=='grocery' else comp.folds(seed=seed)==0
    dls = comp.dataloaders(size, 32, valid=held, seed=seed, flip=0 if name=='omniglot_small' else .5)
    learn = timm_learner(dls, weights=a.weights, metrics=accuracy, head=head, label_smoothing=.1)
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(Plan.default(size, epochs), monitor='epoch')
    seconds = round(time.monotonic()-begun, 1)
    return dict(accuracies(a, learn, comp, name, held), **log_losses(a, learn, comp, name, held), seconds=seconds)

# Which changes images bear

@job({name: dict(name=name, size=size) for name,size in dict(digits=64, trashnet=128, grocery=128, omniglot_small=96, cifar10n_noisy=64).items()}, 'probe', 'learner', 'heads', 'headstart', 'loaders', 'augment')
def bears(a, seed, name, size):
    "By how much mirroring and crops multiply the loss of held-out images after a head start"
    comp = Competition(digits_competition(a.scratch/'bears') if name=='digits' else a.data/name)
    learn = timm_learner(comp.dataloaders(size, 32, fold=0, seed=seed), weights=a.weights)
    learn.head_start()
    base,*changed = (float(o.mean()) for o in held_out_losses(learn, lambda x: x, mirror, *(partial(crop, strength=s) for s in (.25,.5,1.))))
    return dict(zip(('mirrored','crop_25','crop_50','crop_100'), (round(o/base, 3) for o in changed)))

# A night that cannot be lost

def process(a, command, *args):
    "A command of this file in a process of its own, on the same cores"
    return subprocess.Popen([sys.executable, '-W', 'ignore', __file__, a.data, a.answers, a.weights, '--process', command, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

def digits(comp, out, resume=None):
    "`cvkit_run` for three epochs, with a state after every batch"
    every,begin = int(os.getenv('EVERY', 1)),Resume.__init__
    Resume.__init__ = lambda self, folder, **kw: begin(self, folder, every=every, **kw)
    cvkit_run(comp, out=out, **(dict(resume=resume) if resume else dict(arch='test_resnet', weights='none', epochs=3, size=32, folds=2)))

def run_of(out): return max((Path(out).parent/'runs').iterdir(), key=lambda o: o.stat().st_mtime)

def result(folder):
    "All that a run predicted and the weights of its models"
    ledger,models = Ledger(folder/'ledger'),[torch.load(f, weights_only=True) for f in sorted(folder.glob('model_*.pth'))]
    return pd.concat([ledger.get(k) for k in ('test','valid')]), [v for m in models for v in m.values()]

@job({f'{n} kills': dict(n=n) for n in (1,3)}, 'run', 'run_folder', 'budget', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'callback/resume', 'headstart', 'loaders', 'oof')
def kills(a, seed, n):
    "A run of two folds killed at up to `n` random moments, ten times, and the run that was not stopped: are predictions and weights equal to the last bit?"
    home = a.scratch/'kills'
    shutil.rmtree(home, ignore_errors=True); home.mkdir(parents=True)
    comp,rng,same,died = digits_competition(home/'digits'),np.random.default_rng(seed),[],0
    p = process(a, 'digits', comp, home/'whole'/'s.csv')
    begun = time.monotonic(); p.communicate()
    took,whole = time.monotonic()-begun,result(run_of(home/'whole'/'s.csv'))
    for k in range(10):
        out,kill = home/str(k)/'s.csv',0
        while True:
            runs = (out.parent/'runs').exists() and run_of(out)
            p = process(a, 'digits', comp, out, *([runs] if runs and (runs/'run.json').exists() else []))
            try: said = p.communicate(timeout=rng.uniform(4, took) if kill<n else None)[0]; break
            except subprocess.TimeoutExpired: p.send_signal(signal.SIGKILL); p.wait(); kill += 1
        preds,weights = result(run_of(out))
        died += kill
        same.append(p.returncode==0 and preds.equals(whole[0]) and len(weights)==len(whole[1]) and all(map(torch.equal, weights, whole[1])))
        if not same[-1]: print(said[-2000:])
        shutil.rmtree(out.parent)
    return dict(same=sum(same), of=len(same), kills=died, seconds=round(took, 1))

class InTurns(Callback):
    "Take what `fit_plan` has added away for every second step; when steps end, by the processor's time, in which other work does not count"
    order = 2000 # after all others
    def before_fit(self):
        self.ends,self.all,self.made = [],self.learn.cbs,[(o, k, vars(o)[k]) for o,k in ((self.learn,'_do_one_batch'), (self.model,'forward'))]
        self.stock = type(self.all)([cb for cb in self.all if not isinstance(cb, (cvkit.runner.RunPlan,MicroBatch,NaNGuard,Resume))])
    def after_batch(self):
        if not self.training: return
        self.ends.append(time.process_time())
        plain = self.iter%2==0 and self.iter<self.n_iter-1 # the next step
        self.learn.cbs = self.stock if plain else self.all
        for o,k,f in self.made:
            if plain: vars(o).pop(k)
            else: vars(o)[k] = f

@job({'plan, clock and resume': {}}, 'plan', 'runner', 'fit', 'callback/resume', 'callback/guard', 'callback/microbatch', 'callback/light', epochs=1, repeats=27)
def overhead(a, seed, epochs, repeats):
    "Milliseconds of the processor for the median training step of a tiny network on one core, with all that `fit_plan` with a deadline and states adds to a step, and without it in every second step of the same fit. States, and the copies of `NaNGuard` every 100 steps, are not in a median step"
    comp,took = digits_competition(a.scratch/'overhead'),dict(plain=[], ours=[])
    dls = Competition(comp).dataloaders(32, 4, augment=0, num_workers=0)
    plan = Plan([Phase('all', epochs, 32, schedule='constant', warmup=0, freeze_stats=False)])
    threads = torch.get_num_threads(); torch.set_num_threads(1)
    for _ in range(repeats):
        shutil.rmtree(a.scratch/'states', ignore_errors=True)
        learn = timm_learner(dls, 'test_resnet', cbs=InTurns())
        with learn.no_bar(), learn.no_logging(): learn.fit_plan(plan, minutes=60, resume=a.scratch/'states')
        each = np.diff(learn.in_turns.ends)
        for i,k in enumerate(('plain','ours')): took[k].append(1000*float(np.median(each[i::2])))
    torch.set_num_threads(threads)
    return took

def part_of(name, weights, out):
    "One epoch in one of several processes; the first of them writes the losses and the seconds"
    dls = Competition(name).dataloaders(96, 32, fold=0, augment=0, num_workers=0)
    seed_all(0)
    learn = timm_learner(dls, weights=weights, precision='fp32', metrics=accuracy, cbs=DataParallel())
    begun = time.monotonic()
    with learn.no_bar(), learn.no_logging(): rows = learn.fit_plan(Plan([Phase('all', 1, 96)]))
    seconds = time.monotonic()-begun
    if learn.data_parallel.rank==0: Path(out).write_text(json.dumps(dict(seconds=seconds, losses=[float(o) for o in learn.recorder.losses], valid_loss=rows[-1]['valid_loss'])))

@job({'two against one': {}}, 'parallel', 'runner', 'fit', 'optimizer', 'loaders', name='trashnet')
def processes(a, seed, name):
    "The same epoch in two processes, a core each, and in one with both cores: seconds, and the largest difference of a smoothed loss to that of one process on one core, as a share of it. The one with both cores differs by rounding alone"
    found = {}
    for n,threads in ((1,1),(2,1),(1,2)):
        out = a.scratch/f'processes_{n}_{threads}.json'
        subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', str(n), '--master_port', str(29400+n), __file__, a.data, a.answers, a.weights, '--process', 'part_of', a.data/name, a.weights, out],
                       check=True, capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': str(threads), 'CUDA_VISIBLE_DEVICES': ''})
        found[n,threads] = json.loads(out.read_text())
    one,two,rounded = (np.array(found[k]['losses']+[found[k]['valid_loss']]) for k in ((1,1),(2,1),(1,2)))
    return dict(ours=found[2,1]['seconds'], plain=found[1,2]['seconds'], one_core=found[1,1]['seconds'], apart=float((abs(one-two)/one).max()), rounding=float((abs(one-rounded)/one).max()))

# The same minutes

SIDES   = dict(trashnet=128, grocery=128, omniglot_small=96, cifar10n_noisy=64)
WAY     = 'run', 'run_folder', 'budget', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'learner', 'heads', 'margins', 'headstart', 'loaders', 'augment', 'pixels', 'probe', 'plans', 'retrieval', 'search', 'depthwise', 'fused'
BUDGETS = [(name,minutes) for name,all_minutes in dict(trashnet=(2,4,8), omniglot_small=(2,4,8), grocery=(4,7), cifar10n_noisy=(4,8)).items() for minutes in all_minutes]

def submitted(a, name, command):
    "What `command` printed, and the accuracy of the submission that it wrote, with its seconds"
    out = a.scratch/'equal'/'s.csv'
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    p = subprocess.run([*map(str, command(out))], capture_output=True, text=True)
    seconds = round(time.monotonic()-begun, 1)
    if p.returncode: raise RuntimeError(p.stderr[-2000:])
    sub,truth = (pd.read_csv(f, dtype=str).set_index('image').label for f in (out, a.answers/f'{name}.csv'))
    return out,p.stdout,dict(test=float((sub==truth[sub.index]).mean()), seconds=seconds)

def command(a, folder, minutes, seed, *more):
    "What makes `cvkit_run` of the competition in `folder` a command, when it is told where to write"
    return lambda out: [sys.executable, '-W', 'ignore', '-c', 'import sys; from cvkit.cli import main; sys.exit(main())', folder, '--minutes', minutes, '--weights', a.weights, '--seed', seed, '--out', out, *more]

@job({f'{name}, {minutes} minutes': dict(name=name, minutes=minutes) for name,minutes in BUDGETS}, *WAY)
def equal(a, seed, name, minutes, models=1):
    "Accuracy of `cvkit_run` after so many minutes for everything, from the folder of a competition to its submission"
    out,_,scores = submitted(a, name, command(a, a.data/name, minutes, seed, '--folds', models))
    score = json.loads((run_of(out)/'score.json').read_text())
    return dict(scores, valid=score['score'], **{k: score[k] for k in ('expected','low','high')})

@job({f'trashnet, {m} minutes': dict(minutes=m) for m in (1,3,5,6,7,9,10)}, *WAY, name='trashnet')
def budget(a, seed, name, minutes):
    "Minutes between those of `equal`: are they kept, and what do they give?"
    return equal(a, seed, name, minutes)

@job({f'{name}, {minutes} minutes': dict(name=name, minutes=minutes) for name,minutes in BUDGETS if minutes>=7}, *WAY, models=5)
def folds(a, seed, name, minutes, models):
    "The mean of so many models, each of a fold, in the minutes in which `equal` trains one"
    return equal(a, seed, name, minutes, models)

def enlarged(a, name, width):
    "The competition `name` with images so many pixels wide and without loss, which no decoder reads at a part of their size; the names of the files stay"
    home,part = (a.scratch/f'{name}_{width}{o}' for o in ('','.part'))
    if home.exists(): return home
    shutil.rmtree(part, ignore_errors=True)
    def put(f):
        to = part/f.relative_to(a.data/name)
        to.parent.mkdir(parents=True, exist_ok=True)
        if f.suffix!='.jpg': shutil.copy(f, to); return
        img = Image.open(f).convert('RGB')
        img.resize((width,round(img.height*width/img.width)), Image.Resampling.BICUBIC).save(to, 'PNG', compress_level=1)
    with ThreadPoolExecutor() as ex: list(ex.map(put, (o for o in (a.data/name).rglob('*') if o.is_file())))
    return part.rename(home)

@job({f'trashnet as PNG, 1536 px wide, {m} minutes': dict(minutes=m) for m in (4,)}, *WAY, 'cache', name='trashnet', width=1536)
def decoded(a, seed, name, width, minutes):
    "Large images in the same minutes, kept decoded as `cvkit_run` decides and read from their files in every pass: accuracies, passes over the training images, and images kept"
    folder,found = enlarged(a, name, width),{}
    os.environ['XDG_CACHE_HOME'] = str(a.scratch/'cache')
    for k,more in (('ours',[]),('files',['--cache', 0])):
        shutil.rmtree(a.scratch/'cache', ignore_errors=True)
        out,_,scores = submitted(a, name, command(a, folder, minutes, seed, *more))
        kept,plan = (json.loads((run_of(out)/f'{o}.json').read_text()) for o in ('run','plan'))
        found |= {f'{k}_{o}': v for o,v in dict(scores, passes=sum(p['epochs'] for p in plan if p['epochs']), side=kept['sizes'].get('0', kept['size']), kept=kept['kept']['0']).items()}
    return found

def by_plain_fastai(a, seed, name, size, *more):
    "What plain fastai printed, numbers by name, and the accuracy of its submission; characters are not mirrored"
    _,said,scores = submitted(a, name, lambda out: [sys.executable, '-W', 'ignore', Path(__file__).with_name('plain_fastai.py'), a.data/name, out, '--weights', a.weights, '--size', size, '--seed', seed, *more, *(['--no-flip'] if name=='omniglot_small' else [])])
    words = said.split()[-6:]
    return dict(zip(words[::2], map(float, words[1::2]))),scores

PEERS = dict(trashnet=(128,224), omniglot_small=(96,128), grocery=(128,224), cifar10n_noisy=(32,64))

@job({f'{name}, {minutes} minutes, {size} px': dict(name=name, minutes=minutes, size=size) for name,minutes in BUDGETS for size in PEERS[name]})
def plain(a, seed, name, minutes, size):
    "The peer of `equal`: plain fastai in the same minutes; it trains one frozen epoch and one more at least, also where that takes longer"
    said,scores = by_plain_fastai(a, seed, name, size, '--minutes', minutes)
    return dict(scores, valid=said['valid'], epochs_after=said['epochs'])

@job({f'{name}, {size} px': dict(name=name, size=size) for name in SIDES for size in ((64,128) if name=='cifar10n_noisy' else (128,224))})
def linear(a, seed, name, size):
    "The other peer of `equal`: features of the frozen body and logistic regression on them, whose strength a held-out fifth chooses; the test rows are those of a fit to all rows"
    begun,comp = time.monotonic(),Competition(a.data/name)
    learn = timm_learner(comp.dataloaders(size, 64, augment=0), weights=a.weights)
    x,test = (outputs(learn, learn.dls.test_dl(comp.items(df)), dict(x=learn.model.features))['x'] for df in (comp.train, comp.test))
    y,held = comp.train.label[comp.items(comp.train).index].to_numpy(),comp.folds(seed=seed)[comp.items(comp.train).index].to_numpy()==0
    def fitted(c, rows): return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x[rows], y[rows])
    scores = {c: fitted(c, ~held).score(x[held], y[held]) for c in (1e-5,1e-4,1e-3,1e-2,1e-1,1.,10.)}
    best = max(scores, key=scores.get)
    return dict(valid=scores[best], test=fitted(best, slice(None)).score(test, answers(a, name, comp.items(comp.test))), strength=best, seconds=round(time.monotonic()-begun, 1))

# Until the best of plain fastai

@job({f'{name}, {epochs} epochs': dict(name=name, epochs=epochs, size=size) for name,size in SIDES.items() for epochs in (4,8,12)})
def fine_tune(a, seed, name, epochs, size):
    "Plain fastai for so many epochs and a frozen one before them; seconds of the fit"
    said,scores = by_plain_fastai(a, seed, name, size, '--epochs', epochs)
    return dict(scores, valid=said['valid'], seconds=said['seconds'])

@job({f'{name}, {epochs:g} epochs': dict(name=name, epochs=epochs, size=size) for name,size in SIDES.items() for epochs in (.25,.5,1,2,4)}, 'learner', 'heads', 'margins', 'headstart', 'plan', 'runner', 'timing', 'fit', 'optimizer', 'loaders', 'augment')
def until(a, seed, name, epochs, size):
    "The default plan for so many epochs; seconds from the making of the learner to the end of the fit. The shortest that has the accuracies of the best of `fine_tune`, held out and on the test, counts"
    seed_all(seed)
    comp = Competition(a.data/name)
    held,begun = comp.folds(seed=seed)==0,time.monotonic()
    learn = timm_learner(comp.dataloaders(size, 32, valid=held, seed=seed, flip=0 if name=='omniglot_small' else .5), weights=a.weights, metrics=accuracy, head='cosine', label_smoothing=.1)
    with learn.no_bar(), learn.no_logging(): learn.fit_plan(Plan.default(size, epochs))
    seconds = round(time.monotonic()-begun, 1)
    found = accuracies(a, learn, comp, name, held)
    return dict(valid=found['valid_plain'], test=found['test_plain'], seconds=seconds)

def summary(raw):
    "The rows of the table for which there is something, of each chip and precision for itself"
    present = [o for o in raw if BENCH.present(o)]
    return [dict(o, chip=k) for k in sorted({o['chip'] for o in present}) for o in on_chip([o for o in present if o['chip']==k])]

def on_chip(found):
    "Kills, minutes, overhead, the same minutes against plain fastai, and seconds until its best"
    by,out = {},[]
    for o in found: by.setdefault(o['job'], {}).setdefault(o['arm'], {})[o['seed']] = o
    if killed := [o for seeds in by.get('kills', {}).values() for o in seeds.values()]:
        out.append(count(f"runs equal to the bit after {sum(o['kills'] for o in killed)} kills at random moments", [k<o['same'] for o in killed for k in range(o['of'])]))
    if b := [(o['seconds']/60,int(re.search(r'(\d+) minutes', k)[1])) for j in ('budget','equal','folds') for k,seeds in by.get(j, {}).items() for o in seeds.values()]:
        out.append(count('minutes kept: never late, at most 5 % early', [.95*g<=t<=g for t,g in b]))
    for o in by.get('overhead', {}).get('plan, clock and resume', {}).values():
        out.append(row('plan, clock and resume, more a step', [m-p for m,p in zip(o['ours'], o['plain'])], None, 'ms', 'at most 0.5', lambda a: a.mean()<=.5))
    for o in by.get('processes', {}).get('two against one', {}).values():
        out.append(row('two processes, a core each, against one with both: an epoch', [o['ours']], [o['plain']], 's', 'less', lambda a, b: a<b, more=False))
        if 'rounding' in o: out.append(row('the same, largest difference of a loss, against that of another number of threads', [o['apart']], [o['rounding']], 'share', 'at most 3 times', lambda a, b: a<=3*b, more=False))
    for k,mine in by.get('equal', {}).items():
        for j,peer,key in (('plain','plain fastai',k), ('linear','frozen features and a linear probe',k.partition(',')[0])):
            peers = {size: o for size in (32,64,96,128,224) if (o := by.get(j, {}).get(f'{key}, {size} px'))}
            if not peers: continue
            best = max(peers, key=lambda size: np.mean([o['valid'] for o in peers[size].values()]))
            took = f", which took {np.mean([o['seconds'] for o in peers[best].values()]):.0f} s" if j=='plain' else ''
            if seeds := sorted(mine.keys()&peers[best].keys()): out.append(row(f'{k}: accuracy, against {peer} at {best} px{took}', [mine[s]['test'] for s in seeds], [peers[best][s]['test'] for s in seeds], 'share', 'above', lambda a, b: a>b))
    for k,seeds in by.get('decoded', {}).items():
        for o,unit in (('test','share'),('passes','passes')): out.append(row(f"{k}: {dict(test='accuracy', passes='passes over the training images')[o]}, kept decoded, against read in every pass", *([s[f'{side}_{o}'] for s in seeds.values()] for side in ('ours','files')), unit, 'more', lambda a, b: a>b))
    for k,mine in by.get('folds', {}).items():
        one = by.get('equal', {}).get(k, {})
        if seeds := sorted(mine.keys()&one.keys()): out.append(row(f'{k}: accuracy of the mean of five folds, against one model', [mine[s]['test'] for s in seeds], [one[s]['test'] for s in seeds], 'share', 'more', lambda a, b: a>b))
    def chosen(o): return o['means_test'] if o['means_valid']>o['valid'] else o['test']
    for k,mine in by.get('few_images', {}).items():
        peer = by['few_images'].get(k.replace('metric', 'default'), {})
        if k.endswith('metric') and (seeds := sorted(mine.keys()&peer.keys())): out.append(row(f"{k.removesuffix(', metric')}: accuracy of ArcFace and class means, against the default plan", [chosen(mine[s]) for s in seeds], [peer[s]['test'] for s in seeds], 'share', 'more', lambda a, b: a>b))
    told = {name: [o for j in ('budget','equal','folds') for k,seeds in by.get(j, {}).items() if k.startswith(f'{name},') for o in seeds.values() if 'expected' in o] for name in SIDES}
    for name,runs in told.items():
        if runs: out.append(row(f'{name}: points by which the accuracy expected of the test is off, against the held-out score', *([100*abs(o[k]-o['test']) for o in runs] for k in ('expected','valid')), 'points', 'less', lambda a, b: a<b, more=False))
    if runs := sum(told.values(), []): out.append(count('test accuracy within the interval of what was expected', [o['low']<=o['test']<=o['high'] for o in runs]))
    for name in SIDES:
        peers,mine = ({(k,seed): o for k,seeds in by.get(j, {}).items() if k.startswith(f'{name},') for seed,o in seeds.items()} for j in ('fine_tune','until'))
        pairs = []
        for seed in sorted({s for _,s in peers}&{s for _,s in mine}):
            theirs,ours = ([o for (_,s),o in found.items() if s==seed] for found in (peers,mine))
            best = max(theirs, key=lambda o: o['valid'])
            reached = [o for o in ours if o['valid']>=best['valid'] and o['test']>=best['test']]
            pairs.append((min(reached or ours, key=lambda o: o['seconds'] if reached else -o['test']), best, bool(reached)))
        if pairs:
            *both,reached = zip(*pairs)
            seconds,tests = ([[o[k] for o in side] for side in both] for k in ('seconds','test'))
            epochs = ', '.join(sorted({k.split()[1] for k,_ in peers}, key=int))
            out.append(row(f'{name}: seconds of training until the accuracies, held out and on the test ({np.mean(tests[0]):.3f}), are those of the best of `fine_tune` for {epochs} epochs ({np.mean(tests[1]):.3f})', *seconds, 's', 'a fifth', lambda a, b: a<=b/5 and all(reached), more=False))
    return out

def main():
    p = BENCH.parser()
    p.add_argument('--process', nargs='+', help='for jobs that run a command in a process of its own')
    a = p.parse_args()
    a.scratch = a.scratch.resolve()
    if a.process: globals()[a.process[0]](*a.process[1:]); return
    BENCH.run(a, f'{chip().name} {chip().precision}')

if __name__=='__main__': main()
