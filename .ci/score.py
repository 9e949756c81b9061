"The share of right labels in SUBMISSION, by the ids of SOLUTION; less than LEAST is an error:  python .ci/score.py SUBMISSION SOLUTION LEAST"
import sys
import pandas as pd

ours, true = (pd.read_csv(path, dtype=str).set_index('image').label for path in sys.argv[1:3])
right = (ours.reindex(true.index)==true).mean()
print(f"== Held-out accuracy {right:.4f} on {len(true)} images; the submission is {sys.argv[1]}")
if right<float(sys.argv[3]): sys.exit(f"That is less than {sys.argv[3]}: something is broken.")
