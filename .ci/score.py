"The share of right labels in SUBMISSION, by the ids of SOLUTION:  python .ci/score.py SUBMISSION SOLUTION"
import sys
import pandas as pd

ours, true = (pd.read_csv(path, dtype=str).set_index('image').label for path in sys.argv[1:])
right = (ours.reindex(true.index)==true).mean()
print(f"== Held-out accuracy {right:.4f} on {len(true)} images; the submission is {sys.argv[1]}")
