"""The same agent without holdfast: a job file, a retry after a restart, an approval that is a flag in a file.

    python naive.py JOB.json

This is what job runners do: the job is marked done after the call, so a death in between repeats the call.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from payments.client import PaymentsClient

path = Path(sys.argv[1])
job = json.loads(path.read_text())
if job["approved"] and not job["done"]:
    bank = PaymentsClient(os.environ["PAYMENTS_URL"], timeout_s=20)
    bank.refund(job["invoice_id"], job["amount"])
    path.write_text(json.dumps({**job, "done": True}))
print("Refunded.", flush=True)
