"""Planners behind an API: OpenAI chat completions, Anthropic messages, and whatever speaks the former.

Over the direct model-request layer of ``pydantic-ai-slim`` (extra ``models``), which is imported only when a model is
asked. ``open_planner(ModelSpec…)`` gives a planner for ``run.drive``.
"""

from holdfast.adapters.models.planner import ModelPlanner, open_planner
from holdfast.adapters.models.spec import ModelSpec, parse

__all__ = ["ModelPlanner", "ModelSpec", "open_planner", "parse"]
