"""Plain fastai as its own tutorial writes it: `vision_learner`, `fine_tune`, `tta`; the epochs fill the minutes, or are given.

    python bench/plain_fastai.py COMP OUT --weights W [--minutes 4 | --epochs 8] [--size 224] [--no-flip] [--seed 0] [--export FILE]

Writes the submission to OUT; the last line is `epochs N seconds S valid ACCURACY`: those after the frozen one, of the fit, and with `tta` on the fifth of the training rows that it held out.
"""
import argparse, time
from pathlib import Path
import pandas as pd, torch
from fastai.vision.all import *

p = argparse.ArgumentParser()
p.add_argument('comp', type=Path); p.add_argument('out', type=Path); p.add_argument('--weights', required=True)
p.add_argument('--arch', default='tf_efficientnet_lite0')
p.add_argument('--minutes', type=float, default=4); p.add_argument('--epochs', type=int); p.add_argument('--size', type=int, default=224); p.add_argument('--no-flip', action='store_true'); p.add_argument('--seed', type=int, default=0); p.add_argument('--export', type=Path, help='keep the learner there, and end')
a = p.parse_args()

begun = time.monotonic()
set_seed(a.seed)
train,test = (pd.read_csv(a.comp/f'{o}.csv', dtype=str) for o in ('train','test'))
image,label = train.columns[:2]
dls = ImageDataLoaders.from_df(train, a.comp, folder='train_images', fn_col=image, label_col=label, valid_pct=.2, seed=a.seed, bs=64, num_workers=2,
                               item_tfms=Resize(round(1.2*a.size)), batch_tfms=aug_transforms(do_flip=not a.no_flip, size=a.size, min_scale=.75))
learn = vision_learner(dls, a.arch, metrics=accuracy, pretrained=False, path=a.out.parent)
body = learn.model[0].model
state = torch.load(a.weights, map_location='cpu', weights_only=True)
missing = body.load_state_dict({k: v for k,v in state.items() if k in body.state_dict()}, strict=False).missing_keys
assert not missing, f"{len(missing)} weights are missing"
dls.add_tfms([Normalize.from_stats(body.default_cfg['mean'], body.default_cfg['std'], cuda=False)], 'after_batch')
learn.freeze()

def seconds(dl, train, n=6):
    "Seconds for one pass over `dl`, from `n` batches after the first two"
    learn.model.train(train)
    with torch.set_grad_enabled(train):
        for i,(x,y) in enumerate(dl):
            loss = learn.loss_func(learn.model(x), y)
            if train: loss.backward(); learn.model.zero_grad()
            if i==1: start = time.monotonic()
            if i==n+1: break
    return (time.monotonic()-start)/(i-1)*len(dl)

def fitting():
    "Epochs after the frozen one that fit into the minutes"
    with torch.random.fork_rng():
        stats = {k: v.clone() for k,v in learn.model.state_dict().items()}
        frozen,valid = seconds(dls.train, True),seconds(dls.valid, False)
        learn.unfreeze(); epoch = seconds(dls.train, True)
        learn.model.load_state_dict(stats); learn.freeze()
    tta = 5*valid*(1+len(test)/len(dls.valid_ds))
    left = 60*a.minutes-(time.monotonic()-begun)-tta-frozen-valid
    return max(1, round(left/(epoch+valid)))

epochs = a.epochs or fitting()
start = time.monotonic()
with learn.no_bar(): learn.fine_tune(epochs)
took = time.monotonic()-start
if a.export: torch.save(learn, a.export); raise SystemExit
with learn.no_bar():
    preds,ys = learn.tta()
    held_out = accuracy(preds, ys).item()
    preds,_ = learn.tta(dl=dls.test_dl([a.comp/'test_images'/o for o in test[image]]))
test[label] = [dls.vocab[i] for i in preds.argmax(1)]
test[[image,label]].to_csv(a.out, index=False)
print(f'epochs {epochs} seconds {took:.1f} valid {held_out:.4f}')
