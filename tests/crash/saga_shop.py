"""What `holdfast work` is given that goes on with sagas of programs that died: the program's tools, and its calls.

``SAGA_FOLDER`` is where the outside's books are; ``SAGA_REFUSED`` names what the outside says no to.
"""

from __future__ import annotations

import os

from tests.crash.points import Points
from tests.crash.saga_worker import ALLOWED, Outside, SagaPlan, saga
from tests.crash.saga_worker import tools as toolset_of

_PLAN = SagaPlan(
    url="", folder=os.environ["SAGA_FOLDER"], state_dir="", refused=tuple(os.environ["SAGA_REFUSED"].split())
)
tools = toolset_of(Outside(_PLAN, Points()))
policy = ALLOWED
planners = {"saga:trip": saga(tools)}
