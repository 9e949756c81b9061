"""The shared competitions: their answers, read for scoring alone, and held-out rows"""
from pathlib import Path
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import balanced_accuracy_score
import cvkit.loaders
from cvkit.learner import inputs, predict, timm_learner

def answers(a, name, items):
    "The true labels of test rows"
    return pd.read_csv(a.answers/f'{name}.csv', dtype=str).set_index('image').label[[Path(o).name for o in items.image]].to_numpy()

def shares(comp, seed):
    "Which training rows are held out: all drawings of 5 % of the classes, and one drawing of another 15 %"
    rng, label = np.random.default_rng(seed), comp.train.label
    order = rng.permutation(label.unique())
    new, known = np.split(order[:round(.2*len(order))], [round(.05*len(order))])
    one = comp.train[label.isin(known)].sample(frac=1, random_state=seed).groupby('label').head(1).index
    return label.isin(new), pd.Series(label.index.isin(one), label.index)

def accuracies(a, learn, comp, name, held):
    "Plain and balanced accuracy on the held-out and on the test rows"
    classes, out = np.array(comp.classes), {}
    for part,df in (('valid', comp.train[held.reindex(comp.train.index).to_numpy(bool)]), ('test', comp.test)):
        items = comp.items(df)
        p = predict(learn, learn.dls.test_dl(items))['identity'].argmax(1)
        y = comp.train.label[items.index].to_numpy() if part=='valid' else answers(a, name, items)
        out |= {part: balanced_accuracy_score(y, classes[p]), f'{part}_plain': float((y==classes[p]).mean())}
    return out

@torch.no_grad()
def other_visits(comp, weights, seed, parts=5, size=112):
    "Held-out rows that look unlike the training rows, as photos of another visit do: each class falls into as many as five parts by its frozen features, and whole parts, a fifth of the rows or a little more, are held out"
    items = comp.items(comp.train)
    learn = timm_learner(comp.dataloaders(size, 64, augment=0), weights=weights)
    v = F.normalize(torch.cat([learn.model.eval().features(*inputs(learn, b)).cpu() for b in learn.dls.test_dl(items)])).numpy()
    rng,held = np.random.default_rng(seed),np.zeros(len(items), bool)
    for rows in items.groupby(comp.train.label[items.index].to_numpy()).indices.values():
        part = AgglomerativeClustering(min(parts, len(rows)-1)).fit_predict(v[rows])
        for k in rng.permutation(part.max()+1):
            new = held[rows]|(part==k)
            if held[rows].sum()<len(rows)/5 and new.sum()<=len(rows)/2: held[rows] = new
    return pd.Series(held, items.index)
