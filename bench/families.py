"""Every family of timm through `cvkit.backbone`: one small member each, with random weights.

    python bench/families.py [FAMILY ...] [--seconds 240] [--jobs 2] [--fresh]

A family is a module of timm. The member is the smallest by parameters, out of those whose names say small; one above 30 million parameters is built
with reduced depth or width, or named as not run. Each family runs in a process of its own on one thread, so that a crash or a hang is a row as well.
A check that the adapter refuses passes only where the reason is found in timm's own model; the row then says `refuses: …` with what was found.
`bench/families.json` is written after every family. A row that stands there is kept while the statements of `cvkit/backbone.py` and `cvkit/heads.py`, this file
and timm are the same, so that a stopped run goes on; families that are named run again, and `--fresh` runs all of them. The exit status is 1 when a family fails.
"""
import argparse, ast, hashlib, json, math, os, re, sys, tempfile, time, traceback, warnings
from copy import deepcopy
from fnmatch import fnmatch
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
os.environ['OMP_NUM_THREADS'] = '1'
import pandas as pd, timm, torch, torch.nn.functional as F
from fastai.optimizer import Adam
from fastai.torch_core import norm_bias_params
from timm.models import adapt_input_conv, get_pretrained_cfg
from torch import nn
import cvkit.backbone, cvkit.heads
from cvkit.backbone import load_weights, no_decay, param_groups, stage_splitter, timm_body
from cvkit.core import CvkitError
from cvkit.heads import POOLS, repool

RESULTS = Path(__file__).resolve().with_name('families.json')

def plain(o):
    "A tree as nested tuples, the same under each version of Python"
    if isinstance(o, list): return [*map(plain, o)]
    return (type(o).__name__, *((k, plain(v)) for k,v in ast.iter_fields(o) if v not in (None, []))) if isinstance(o, ast.AST) else o

def code(f):
    "What a module does: its statements, without comments, docstring and `__all__`"
    tree = ast.parse(Path(f).read_text().replace('from .', 'from cvkit.'))
    return plain([o for o in tree.body if not isinstance(o, ast.Expr) and getattr(getattr(o, 'targets', [None])[0], 'id', '')!='__all__'])

CODE    = hashlib.sha1(repr(([code(o) for o in (cvkit.backbone.__file__, cvkit.heads.__file__, __file__)], timm.__version__)).encode()).hexdigest()[:12]
MOST    = 30 # million parameters; up to twice as many run as they are where there is no reduced form
PAIRS   = (64,96), (96,160), (128,192), (224,448), (240,480), (256,512) # sides in pixels; the first that the member takes
SMALL   = 'zepto atto femto pico kobe nano xxx xxs xxt xx xs xt xmini tiny ti t0 t8 t s0 m0 0 b0 e1 m1 s1 d1 l0 f0 l1 s s12 s18 small 18 m base b medium'.split()
REDUCED = dict(beit=dict(depth=3), naflexvit=dict(depth=3), vision_transformer_sam=dict(depth=3), vgg=dict(mlp_ratio=.1), deepseek_vit=dict(depth=3, embed_dim=256, num_heads=4),
               qwen3_vit=dict(depth=3), gemma4_vit=dict(depth=3), nasnet=dict(stem_size=24, num_features=1056),
               mobilenetv5={}, pnasnet={}, vision_transformer_hybrid={}) # arguments of members above `MOST`; empty ones run as they are
CHECKS  = {}

class Skip(Exception): "What a family has none of"

def check(f):
    "A check: takes a `Case`, raises when it fails, returns what the row shall tell"
    CHECKS[f.__name__] = f
    return f

def near(a, b, eps=1e-4):
    "Whether two tensors agree, as a share of the largest value"
    assert a.shape==b.shape, f'shapes {tuple(a.shape)} and {tuple(b.shape)}'
    gap = float((a.float()-b.float()).abs().max()/b.float().abs().max().clamp_min(1e-6))
    assert gap<=eps, f'differ by {gap:.2g} of the largest value'

class Case:
    "A member of a family at two sizes"
    def __init__(self, name, kw): self.name, self.kw = name, kw
    def body(self, size=None, **kw):
        "A fresh body with the same weights each time"
        if hasattr(self, 'one') and not kw and size in (None, self.small): return deepcopy(self.one)
        torch.manual_seed(0)
        return timm_body(self.name, size=size or self.small, **self.kw, **kw).eval()
    def x(self, size=None, chans=3):
        h,w = size if isinstance(size, tuple) else (size or self.small,)*2
        return torch.randn(2, chans, h, w, generator=torch.Generator().manual_seed(1))
    def look(self, size):
        "Body, features and vectors at a size"
        body = self.body(size)
        with torch.no_grad(): f = body(self.x(size)); return body, f, body.pool(f)
    def find(self):
        "The first pair of sizes that it takes, with more than one place in the features; one size where no pair is left"
        said = {}
        own = get_pretrained_cfg(self.name).input_size[-1]
        for self.small,self.large in [*PAIRS, (own,2*own), (own,None)]:
            try:
                one,f,p = self.look(self.small)
                grid = one.grid(f)
                if grid==(1,1): raise ValueError('one place only')
                if self.large: self.other, self.of, self.op = self.look(self.large)
                self.one, self.f, self.p = one, f, p
                return
            except Exception as e: said[self.small,self.large] = f'{type(e).__name__}: {e}'
        raise RuntimeError(f'takes none of {list(said)} px; at the last: {said[self.small,None]}')

def held(model): return {k: tuple(v.shape) for k,v in [*model.named_parameters(), *model.named_buffers()]}

def one_grid(c, size):
    "Why a model takes no images of another size; fails where timm's own model does, or holds nothing that depends on the size"
    try:
        with torch.no_grad(): f = c.body().model.forward_features(c.x(size))
    except Exception as e: why = f'timm\'s own model gives {type(e).__name__}'
    else:
        assert shapes(f)==shapes(c.f), f'refused, but timm\'s own model takes {size} and gives {shapes(f)}'
        why = 'it shrinks them to its own size'
    ours, places = held(c.one.model), math.prod(c.one.grid(c.f) or (0,))
    if c.large: tables = [f'{k} {v}, built for {c.large} px {theirs[k]}' for theirs in [held(c.other.model)] for k,v in ours.items() if v!=theirs.get(k, v)]
    else: tables = [f'{k} {v} for {places} places' for k,v in ours.items() if places>1 and len(v)>1 and v[-1]==places]
    assert tables, f'refused, but it holds nothing that depends on the size ({why})'
    return f'{why}, and it holds {tables[0]}'

def passes(c, size):
    "Whether timm's own model can be built for images of a size, and takes them"
    try:
        with torch.no_grad(): timm.create_model(c.name, img_size=size, **c.kw).eval().forward_features(c.x(size))
    except Exception: return False
    return True

def no_places(c):
    "Why features are no map; fails where they are more than class tokens"
    token = getattr(c.one.model, 'cls_token', None)
    assert token is not None and shapes(c.f)==shapes(c.of)==[(2,token.shape[-2],c.one.model.num_features)], f'refused, but {shapes(c.f)} are more than class tokens'
    return f'all features are {token.shape[-2]} class token'

def several_widths(c, how):
    "Why a pooling does not go with several maps; fails where it learns nothing for each channel, or the maps are as wide as the features"
    n = c.one.model.num_features
    widths = [s[1] for s in shapes([c.one.to_nchw(o) for o in c.f])]
    assert any(w!=n for w in widths), f'refused, but all maps have {n} channels'
    assert any(p.numel()>1 for p in POOLS[how](n).parameters()), f'refused, but {how} learns nothing for each channel'
    return f'the maps have {" ".join(map(str, widths))} channels and it learns one number for each of {n}'

def one_output(c):
    "The name of a module that brings every map to the grid of the features, whatever the size"
    return next((k for k,m in c.one.model.named_modules() if getattr(m, 'output_resolution', None)==c.one.grid(c.f)), None)

def shapes(f): return [tuple(o.shape) for o in (f if isinstance(f, (list,tuple)) else [f])]

@check
def build(c):
    c.find()
    return f'{c.small}' + (f' {c.large}' if c.large else '')

@check
def features(c):
    assert torch.isfinite(c.p).all(), 'not finite'
    if c.large:
        assert torch.isfinite(c.op).all(), 'not finite'
        same = shapes(c.f)==shapes(c.of) and c.one.grid(c.f)
        assert not same or one_output(c), f'the same features {shapes(c.f)} at both sizes'
        if same: return f'{shapes(c.f)[0]} at both sizes, by {one_output(c)}'
    return str(shapes(c.f)[0] if len(shapes(c.f))==1 else shapes(c.f)) + ('' if c.large else ', one size only')

@check
def pooled(c):
    assert c.p.shape==(2, c.one.num_features), f'{tuple(c.p.shape)}, not (2, {c.one.num_features})'
    with torch.no_grad(): out = c.one.model(c.x())
    if out.shape==c.p.shape: near(c.p, out, 1e-5)
    else: return 'the model itself does not pool'

@check
def as_map(c):
    "Against timm's own maps of the last layer, on a rectangle where the family takes one"
    body, x, note = c.body(), c.x(), ', squares only'
    if c.large:
        size = c.small,c.large
        try:
            with torch.no_grad(): rect = c.body(size); rect(c.x(size))
            body, x, note = rect, c.x(size), ''
        except CvkitError:
            note += f': {one_grid(c, size)}'
            assert not passes(c, size), f'refused, but timm\'s own model can be built for {size}'
    with torch.no_grad(): f = body(x)
    try: m = body.to_nchw(f)
    except CvkitError: return f'refuses: {no_places(c)}{note}'
    h,w = m.shape[2:]
    assert m.shape[0]==2 and h*w>0, f'{tuple(m.shape)}'
    if not hasattr(body.model, 'forward_intermediates'): return f'{tuple(m.shape)}, timm has no maps to compare{note}'
    if c.large and (h,w)==c.one.grid(c.f)==c.one.grid(c.of) and one_output(c): return f'{tuple(m.shape)} by {one_output(c)}; timm\'s maps are those before it'
    kw = dict(indices=None if isinstance(f, (list,tuple)) else 1, output_fmt='NCHW', intermediates_only=True)
    with torch.no_grad():
        try: last = body.model.forward_intermediates(x, norm=True, **kw)
        except AssertionError: last = body.model.forward_intermediates(x, **kw)
    theirs = [tuple(o.shape[2:]) for o in last]
    assert (h,w) in theirs, f'the grid is {(h,w)}, timm says {theirs}'
    last = last[-1]
    same = last.shape==m.shape and torch.allclose(last, m, atol=1e-4)
    return f'{tuple(m.shape)} {"as" if same else "with the grid of"} timm\'s{note}'

@check
def groups(c):
    gs = c.one.groups()
    ids = [id(p) for g in gs for p in g]
    assert len(ids)==len(set(ids)) and set(ids)=={id(p) for p in c.one.parameters()}, 'not every parameter once'
    assert 3<=len(gs)<=6, f'{len(gs)} groups'
    assert all(gs), 'an empty group'
    n = [sum(p.numel() for p in g) for g in gs]
    assert n[0]<.5*sum(n), f'the stem holds {n[0]/sum(n):.0%}'
    return ' '.join(f'{o/sum(n):.1%}' for o in n)

@check
def order_of_groups(c):
    "The modules of a group run before those of the next, on average"
    at, hooks = {}, []
    for name,m in c.one.model.named_modules():
        own = [f'{name}.{k}' if name else k for k,_ in m.named_parameters(recurse=False)]
        if own and name: hooks.append(m.register_forward_pre_hook(lambda *_, own=own: [at.setdefault(k, len(at)) for k in own] and None))
    with torch.no_grad(): c.one(c.x())
    for h in hooks: h.remove()
    means = [sum(s)/len(s) for s in ([at[k] for k in g if k in at] for g in c.one.named_groups()) if s]
    assert means==sorted(means), f'groups run at {[round(o) for o in means]}'

@check
def freeze(c):
    "After `freeze_to(-n)` exactly the last n groups are trained; as in a `Learner`, which trains all norms, exactly those and the norms"
    net = nn.Sequential(c.body(), nn.Linear(c.one.num_features, 3))
    gs, norms, told = [*net[0].groups(), list(net[1].parameters())], norm_bias_params(net, False), []
    for forced in (False, True):
        opt = Adam(stage_splitter(net), lr=1e-3)
        for p in norms if forced else []: opt.state[p]['force_train'] = True
        for n in (1,2,1):
            opt.freeze_to(-n)
            want = {id(p): p for g in gs[-n:] for p in g} | {id(p): p for p in norms if forced}
            ours = {id(p): p for p in net.parameters() if p.requires_grad}
            count = lambda ps: sum(p.numel() for p in ps.values())
            assert ours.keys()==want.keys() and count(ours)==count(want), f'freeze_to(-{n}) trains {count(ours)} parameters, not {count(want)}'
        told.append(sum(p.numel() for p in net[0].parameters() if p.requires_grad))
    opt = Adam(stage_splitter(net), lr=1e-3); opt.freeze_to(-2)
    last, total = sum(p.numel() for p in net[0].parameters() if p.requires_grad), sum(p.numel() for p in net[0].parameters())
    assert told[0]==0 and .002<last/total<.95, f'freeze_to(-2) leaves {last/total:.2%} of the body'
    assert any(p.ndim>1 for p in net[0].parameters() if p.requires_grad), 'freeze_to(-2) leaves no weights'
    return f'{last/total:.1%}; {last} of {total}, {told[1]} in norms'

@check
def resize(c):
    "A live model goes to the other size, where it gives what one built for it gives, and back; or says why not"
    body,large = c.body(),c.large or 2*c.small
    before = held(body.model)
    try:
        body.set_size(large)
        with torch.no_grad(): f = body(c.x(large)); p = body.pool(f)
    except CvkitError:
        try: body(c.x(large))
        except CvkitError: return f'refuses: {one_grid(c, large)}'
        except Exception as other: raise AssertionError(f'refused, but images of that size give {type(other).__name__}: {other}') from None
        raise AssertionError('refused, but images of that size pass') from None
    assert p.shape==c.p.shape and torch.isfinite(p).all()
    assert shapes(f)!=shapes(c.f) or not body.grid(f) or one_output(c), f'the same features {shapes(f)} at {c.small} and {large} px'
    now = held(body.model)
    if c.large and now==held(c.other.model):
        twin = deepcopy(c.other); twin.model.load_state_dict(body.model.state_dict())
        with torch.no_grad(): near(p, twin.pool(twin(c.x(large))), 1e-3)
    body.set_size(c.small)
    with torch.no_grad(): near(body.pool(body(c.x())), c.p, .5 if now!=before else 1e-4)
    return 'resized' + (', what depends on the size is resampled' if now!=before else '')

@check
def positions(c):
    "A smooth position embedding is the same smooth function on the other grid"
    body, told = c.body(), []
    try: before = {k: (v, v.shape) for k,v in body.model.named_parameters() if 'pos_embed' in k and v.ndim in (3,4) and v.shape[0]==1}
    except CvkitError: before = {}
    def wave(h, w): return torch.cos(math.pi*(torch.arange(h)+.5)/h)[:,None] + torch.cos(math.pi*(torch.arange(w)+.5)/w)
    def smooth(shape, flat=None):
        if len(shape)==3: n = math.isqrt(shape[1]); return wave(n, n).reshape(1,-1,1).expand(1,n*n,shape[2]), shape[1]-n*n
        h,w = shape[1:3] if flat else shape[2:]
        return wave(h, w)[None,...,None].expand(shape) if flat else wave(h, w).expand(shape), 0
    last = {k: v.ndim==4 and v.shape[-1]>v.shape[1] for k,(v,_) in before.items()}
    with torch.no_grad():
        for k,(v,shape) in before.items():
            s,extra = smooth(shape, last[k]); v[:,extra:] = s if v.ndim==3 else s
    try: body.set_size(c.large or 2*c.small)
    except CvkitError: raise Skip('no live resize') from None
    for k,v in body.model.named_parameters():
        if k in before and v.shape!=before[k][1]:
            s,extra = smooth(v.shape, last[k]); gap = float((v[:,extra:]-s).abs().mean())
            assert gap<.1, f'{k} is off by {gap:.2g}'
            told.append(f'{k} {tuple(before[k][1])} to {tuple(v.shape)}')
    if not told: raise Skip('no table that depends on the size')
    return '; '.join(told)

def no_channels(c, n):
    "Why weights for 3 channels do not become weights for `n`; fails where timm has a rule for the first layer, or nothing in timm's own model depends on `n`"
    told, ours = c.one.model.pretrained_cfg.get('first_conv'), timm.create_model(c.name, num_classes=0, in_chans=n, **c.kw)
    if told==[]:
        assert held(ours)==held(timm.create_model(c.name, num_classes=0, **c.kw)), f'refused, but timm\'s own model differs for {n} channels'
        return 'timm names no first layer, and nothing that it holds depends on the channels'
    layer = ours.get_submodule(told)
    assert isinstance(layer, nn.Linear) and layer.in_features%n==0, f'refused, but {told} is {type(layer).__name__}'
    try: adapt_input_conv(n, c.one.model.state_dict()[f'{told}.weight'])
    except NotImplementedError: return f'{told} is linear over patches of {layer.in_features//n} pixels, for which timm has no rule'
    raise AssertionError(f'refused, but timm adapts {told}')

def stem(c, state, body, n):
    "The weights of the first layers are timm's rule: the sum over the three for one channel, else the three repeated and scaled; channels are the fastest of the inputs"
    told, own = c.one.model.pretrained_cfg.get('first_conv'), body.model.state_dict()
    names = [f'{o}.weight' for o in ([told] if isinstance(told, str) else told or [])]
    assert names and all(k in own for k in names), f'timm names {told}'
    for k in names:
        w = state[k]; parts = w.unflatten(1, (w.shape[1]//3, 3))
        want = parts.sum(2) if n==1 else parts[:,:,[i%3 for i in range(n)]].flatten(1, 2)*3/n
        near(own[k], want, 1e-5)
        try: near(own[k], adapt_input_conv(n, w), 1e-5)
        except NotImplementedError: pass
    return ', '.join(f'{k} {tuple(own[k].shape)}' for k in names)

@check
def channels(c):
    "First layers for 1 and 4 channels hold what timm's rule gives, and a grey picture gives the same as in three channels"
    state = {k: v.clone() for k,v in c.one.model.state_dict().items()}
    grey, refused, told = c.x(chans=1), [], []
    standard = any('Std' in type(m).__name__ for k,m in c.one.model.named_modules() if k==c.one.model.pretrained_cfg.get('first_conv'))
    for n in (1,4):
        try: body = c.body(in_chans=n); report = load_weights(body, {k: v.clone() for k,v in state.items()})
        except CvkitError: refused.append(no_channels(c, n)); continue
        assert not report.missing, f'{n} channels: {report.missing[:2]} not filled'
        assert body.cfg['input_size'][0]==n==len(body.cfg['mean'])==len(body.cfg['std']), f'{n} channels: {body.cfg}'
        told.append(stem(c, state, body, n))
        with torch.no_grad(): p = body.pool(body(c.x(chans=n)))
        assert torch.isfinite(p).all()
        if n==1 and not standard:
            with torch.no_grad(): near(body.pool(body(grey)), c.one.pool(c.one(grey.expand(-1,3,-1,-1))), 1e-3)
    assert len(refused) in (0,2), 'refuses one of 1 and 4 channels only'
    if refused: return f'refuses: {refused[0]}'
    return '; '.join(told) + ('; it standardises its weights: as timm adapts them, another scale' if standard else '')

@check
def config(c):
    cfg, told = c.one.cfg, get_pretrained_cfg(c.name).to_dict()
    for k in ('mean','std','interpolation','crop_pct'): assert cfg[k]==told[k], f'{k} is {cfg[k]}, timm says {told[k]}'

@check
def cam(c):
    "What the layer for class activation maps gives turns into a map with the grid of the features, and the prediction depends on it"
    body = c.body()
    layer, seen = body.cam_layer, []
    hook = layer.register_forward_hook(lambda m, i, o: seen.append(o))
    f = body(c.x()); hook.remove()
    m = body.to_nchw(seen[-1])
    grids = [o for o in map(body.grid, f if isinstance(f, (list,tuple)) else [f]) if o]
    assert tuple(m.shape[2:]) in (grids or [m.shape[2:]]), f'{tuple(m.shape)} instead of {grids}'
    p = body.pool(f)
    g = torch.autograd.grad((p*torch.randn(p.shape, generator=torch.Generator().manual_seed(2))).sum(), seen[-1])[0]
    assert body.to_nchw(g).abs().sum()>0, 'the features do not depend on it'
    name = next(k for k,o in body.model.named_modules() if o is layer)
    return f'{name} {tuple(m.shape)}'

def step(c, dtype):
    torch.manual_seed(0)
    body = c.body().train(); head = nn.Linear(body.num_features, 3)
    opt = torch.optim.AdamW(param_groups(nn.Sequential(body, head), 1e-4))
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype=='bf16'): p = body.pool(body(c.x()))
    loss = F.cross_entropy(head(p.float()), torch.tensor([0,2]))
    loss.backward()
    grads = {k: p.grad for k,p in body.named_parameters()}
    bad = [k for k,g in grads.items() if g is not None and not torch.isfinite(g).all()]
    assert not bad, f'gradients of {bad[:2]} are not finite'
    without = [k for k,g in grads.items() if g is None]
    assert len(without)<.1*len(grads), f'{len(without)} of {len(grads)} parameters get no gradient, as {without[:2]}'
    before = [p.detach().clone() for p in body.parameters()]
    opt.step()
    moved = sum(not torch.equal(a, b) for a,b in zip(before, body.parameters()))
    pulled = sum(g is not None and bool(g.abs().max()>0) for g in grads.values()) # a branch that begins at zero has no gradient before its end
    assert moved>=.9*pulled>.09*len(before), f'{moved} of {len(before)} parameters moved, {pulled} have a gradient'
    assert all(torch.isfinite(p).all() for p in body.parameters()), 'not finite after a step'
    return f'{len(without)} without gradient' if without else ''

@check
def step_fp32(c): return step(c, 'fp32')

@check
def step_bf16(c): return step(c, 'bf16')

@check
def decay(c):
    "No weight decay for vectors, tokens, position embeddings and what timm names; every weight matrix has it"
    free = no_decay(c.one)
    params = dict(c.one.model.named_parameters())
    kept = {k for k in params if k not in free}
    wrong = [k for k in kept if params[k].ndim<=1 or k.split('.')[-1] in ('cls_token','pos_embed','reg_token','dist_token','bias')]
    wrong += [k for k in getattr(c.one.model, 'no_weight_decay', set)() if k in kept]
    assert not wrong, f'{wrong[:3]} would decay'
    weights = [k for k,m in c.one.model.named_modules() if isinstance(m, (nn.Linear,nn.Conv2d)) and f'{k}.weight' in free]
    named = getattr(c.one.model, 'no_weight_decay', set)()
    weights = [k for k in weights if not any(n in f'{k}.weight' or fnmatch(f'{k}.weight', n) for n in named)]
    assert not weights, f'{weights[:3]} would not'
    return f'{len(free)} of {len(params)} without'

@check
def layer_decay(c):
    "Rates fall from the head down, and do not shift when the stem is frozen"
    net = nn.Sequential(c.body(), nn.Linear(c.one.num_features, 3))
    def rates(): return {id(p): g['lr'] for g in param_groups(net, 1., layer_decay=.5) for p in g['params']}
    before = rates()
    assert len(before)==len(list(net.parameters())), 'not every parameter once'
    for p in net[0].groups()[0]: p.requires_grad_(False)
    assert rates()==before, 'freezing the stem shifts the rates'
    body = [before[id(p)] for p in net[0].parameters()]
    assert max(body)==.5 and before[id(net[1].weight)]==1, f'highest rate of the body is {max(body)}'
    return f'{len(set(body))} layers'

@check
def save_load(c):
    with tempfile.TemporaryDirectory() as d:
        from safetensors.torch import save_file
        f = Path(d)/'w.safetensors'
        save_file({f'module.{k}': v.contiguous().clone() for k,v in c.one.model.state_dict().items()}, f)
        torch.manual_seed(7)
        body = timm_body(c.name, f, size=c.small, **c.kw).eval()
    assert body.report.share==1 and not body.report.missing, f'{body.report.share:.0%}, missing {body.report.missing[:2]}'
    with torch.no_grad(): near(body.pool(body(c.x())), c.p, 1e-5)

def one_table(c, body, said):
    "Why weights of another size do not fit: the table that the refusal names, which timm's filter leaves as it is"
    m = re.search(r'but (\S+) is (\(.*?\)) and must be (\(.*?\)):', said)
    assert m, f'refused, but no table is named: {said[:120]}'
    k, theirs, own = m[1], c.other.model.state_dict(), body.model.state_dict()
    assert m[2]==str(tuple(theirs[k].shape))!=m[3]==str(tuple(own[k].shape)), f'refused, but {k} is {tuple(theirs[k].shape)} and {tuple(own[k].shape)}'
    assert not ('pos_embed' in k and theirs[k].ndim==own[k].ndim==3), f'{k} can be resampled'
    fix = getattr(sys.modules[type(body.model).__module__], 'checkpoint_filter_fn', None)
    try: left = dict(fix({o: v.clone() for o,v in theirs.items()}, body.model)).get(k) if fix else theirs[k]
    except Exception: left = None
    assert left is None or left.shape!=own[k].shape, f'timm resamples {k}'
    return f'{k} {m[2]} instead of {m[3]}, and timm resamples none'

@check
def other_size(c):
    "Weights of a model of the other size fill all that a model of this size is made of"
    if not c.large: raise Skip('one size')
    body = c.body()
    try: report = load_weights(body, {k: v.clone() for k,v in c.other.model.state_dict().items()})
    except CvkitError as e: return f'refuses: {one_table(c, body, str(e))}'
    assert not report.missing, f'missing {report.missing[:3]}'
    with torch.no_grad(): assert torch.isfinite(body.pool(body(c.x()))).all()
    return ', '.join(report.reshaped[:2])

@check
def channels_last(c):
    body = c.body().to(memory_format=torch.channels_last)
    with torch.no_grad(): near(body.pool(body(c.x().to(memory_format=torch.channels_last))), c.p, 1e-3)

@check
def checkpointing(c):
    if not hasattr(c.one.model, 'set_grad_checkpointing'): raise Skip('timm has none')
    def grads(on):
        body = c.body().train()
        if on:
            try: body.model.set_grad_checkpointing(True)
            except AssertionError as e: raise Skip(f'timm has none: {e}') from None
        torch.manual_seed(0); body.pool(body(c.x())).square().mean().backward()
        return {k: p.grad for k,p in body.named_parameters() if p.grad is not None}
    a,b = grads(False),grads(True)
    assert a.keys()==b.keys(), 'other parameters get gradients'
    top = max(g.abs().max() for g in a.values())
    worst = max(float((a[k]-b[k]).abs().max()/top) for k in a)
    assert worst<1e-3, f'gradients differ by {worst:.2g} of the largest'

@check
def pools(c):
    "Every pooling of `cvkit.heads` gives finite vectors; of features that differ from place to place the largest value and the generalised mean are not the mean"
    body, many = c.body(), isinstance(c.f, (list,tuple))
    places = max((math.prod(g) for g in map(body.grid, c.f if many else [c.f]) if g), default=1)
    torch.manual_seed(0); noise = [torch.randn_like(o) for o in c.f] if many else torch.randn_like(c.f)
    made, refused = {}, {}
    with torch.no_grad():
        for how in POOLS:
            try: p = repool(body, how).eval(); p.pool(noise)
            except CvkitError: refused[how] = several_widths(c, how) if many else no_places(c); continue
            for v in (p.pool(p(c.x())), p.pool(noise)): assert v.shape==(2,p.num_features) and torch.isfinite(v).all(), f'{how}: {tuple(v.shape)}, not (2, {p.num_features}), or not finite'
            made[how] = v
    assert {*made, *refused}>={'avg','max','avgmax','gem','attention'}, f'only {[*made, *refused]}'
    told = f'refuses: {", ".join(refused)}, for {next(iter(refused.values()))}' if refused else f'{places} places'
    if not made: return told
    assert made['avgmax'].shape[1]==2*made['avg'].shape[1], 'avgmax is not twice as wide'
    for how in ('gem','max') if places>1 else ():
        gap = float((made[how]-made['avg']).abs().max()/made['avg'].abs().max())
        assert gap>1e-3, f'{how} differs from avg by {gap:.2g} of the largest value, with {places} places'
    return told

def rank(name):
    "How small a name says its model is"
    words = re.split(r'[_.]', name)
    return min((SMALL.index(w) for w in words if w in SMALL), default=len(SMALL)), len(name), name

def member(family):
    "The smallest of the members whose names say small, and its parameters in millions"
    names = sorted((n for n in timm.list_models(module=family) if not n.startswith('test_')), key=rank)[:6]
    sizes = {}
    for n in names:
        try:
            with torch.device('meta'): sizes[n] = sum(p.numel() for p in timm.create_model(n).parameters())/1e6
        except Exception: pass
    return min(sizes.items(), key=lambda o: o[1]) if sizes else (names[0], 0.)

def work(pipe, family, known):
    "All checks of a family, one after the other, told through `pipe`"
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    name,size = known or member(family)
    kw = REDUCED.get(family, {} if size<2*MOST else None) if size>MOST else {}
    pipe.send(('member', dict(member=name, millions=round(size, 2), reduced=str(kw) if kw else '')))
    if kw is None: pipe.send(('not run', f'{size:.0f} million parameters, and no reduced form')); return
    c = Case(name, kw)
    for k,f in CHECKS.items():
        begun = time.perf_counter()
        try: said, ok = f(c) or '', True
        except Skip as e: said, ok = f'none: {e}', True
        except Exception as e:
            line = next((f'{Path(o.filename).name}:{o.lineno}' for o in reversed(traceback.extract_tb(e.__traceback__)) if 'site-packages' in o.filename or Path(o.filename).parent.name=='cvkit'), '')
            said, ok = f'{type(e).__name__}: {str(e)[:220]}' + (f' ({line})' if line else ''), False
        pipe.send((k, dict(ok=ok, said=said, s=round(time.perf_counter()-begun, 2))))
        if k=='build' and not ok: return

def start(family, known):
    "A family in a process of its own, and the pipe through which it tells its row"
    ours,theirs = get_context('fork').Pipe(False)
    p = get_context('fork').Process(target=work, args=(theirs, family, known))
    p.start(); theirs.close()
    return ours, (p, time.monotonic(), dict(family=family, checks={}, code=CODE, timm=timm.__version__))

def hear(pipe, row):
    "Take in what a family tells; False when it has ended"
    try: k,v = pipe.recv()
    except EOFError: return False
    if k=='member': row |= v
    elif k=='not run': row['not_run'] = v
    else: row['checks'][k] = v
    return True

def ended(p, row, begun, seconds):
    "The finished row"
    if p.is_alive() and time.monotonic()-begun>=seconds: p.kill(); row['stopped'] = f'after {seconds} s'
    p.join()
    if p.exitcode and 'stopped' not in row: row['stopped'] = f'the process ended with {p.exitcode}'
    failed = [f'{k}: {v["said"]}' for k,v in row['checks'].items() if not v['ok']]
    if 'stopped' in row: failed.append(f"{next((k for k in CHECKS if k not in row['checks']), 'end')}: {row['stopped']}")
    return row | dict(s=round(time.monotonic()-begun, 1), passes=not failed and not row.get('not_run') and len(row['checks'])==len(CHECKS), failed=failed)

def run(todo, seconds, jobs):
    "Rows of families as they come, `jobs` at a time"
    todo, live = list(todo), {}
    while todo or live:
        while todo and len(live)<jobs: pipe,o = start(*todo.pop(0)); live[pipe] = o
        ready = wait(list(live), 1)
        for pipe,(p,begun,row) in list(live.items()):
            if (pipe in ready and not hear(pipe, row)) or time.monotonic()-begun>=seconds: del live[pipe]; yield ended(p, row, begun, seconds)

def table(rows):
    "One row a family"
    def said(r, k): return r['checks'].get(k, {}).get('said', '')
    return pd.DataFrame([dict(family=r['family'], member=r.get('member', ''), millions=r.get('millions'), px=said(r, 'build'), features=said(r, 'features'), groups=said(r, 'groups'),
                              resize=said(r, 'resize')[:7], passed=f"{sum(v['ok'] for v in r['checks'].values())}/{len(CHECKS)}", reason=r.get('not_run') or '; '.join(r['failed'])) for r in rows])

def main():
    p = argparse.ArgumentParser()
    p.add_argument('families', nargs='*'); p.add_argument('--seconds', type=int, default=240); p.add_argument('--jobs', type=int, default=1); p.add_argument('--fresh', action='store_true')
    a = p.parse_args()
    torch.set_num_threads(1)
    done = {r['family']: r for r in json.loads(RESULTS.read_text())['rows']} if RESULTS.exists() else {}
    def known(f): return (done[f]['member'],done[f]['millions']) if done.get(f, {}).get('timm')==timm.__version__ and 'member' in done[f] else None
    todo = [(f,known(f)) for f in a.families or timm.list_modules() if a.families or a.fresh or done.get(f, {}).get('code')!=CODE]
    for r in run(todo, a.seconds, a.jobs):
        done[r['family']] = r
        print(r['family'], r.get('member'), r.get('millions'), f"{r['s']} s", 'passes' if r['passes'] else r.get('not_run') or r['failed'], flush=True)
        RESULTS.write_text(json.dumps(dict(timm=timm.__version__, torch=torch.__version__, rows=[done[f] for f in timm.list_modules() if f in done]), indent=1)+'\n')
    rows = [done[f] for f in timm.list_modules() if f in done]
    print(table(rows).to_string(index=False, max_colwidth=90))
    print(f"{sum(r['passes'] for r in rows)} of {len(rows)} families pass")
    return any(r['failed'] for r in rows)

if __name__=='__main__': sys.exit(main())
