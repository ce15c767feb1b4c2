"""Real death: the plays of a case by real processes that are killed, beside the same plays in virtual time.

from holdfast.harness.death import deaths

for row in deaths(case):
    print(row)
"""

from holdfast.harness.death.ground import Ground, over_file
from holdfast.harness.death.life import Dies
from holdfast.harness.death.lives import play
from holdfast.harness.death.sweep import How, Row, deaths

__all__ = ["Dies", "Ground", "How", "Row", "deaths", "over_file", "play"]
