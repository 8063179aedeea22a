"""Makes plans, and asks its user how much time there is."""
from dataclasses import dataclass

from fastmcp import Context, FastMCP

server = FastMCP("planning")


@dataclass
class Time:
    hours: int


@server.tool
async def plan(goal: str, context: Context) -> dict:
    """The steps to a goal, as many as there are hours."""
    answer = await context.elicit(f"How many hours are there for {goal}?", response_type=Time)
    if answer.action != "accept":
        return {"goal": goal, "steps": []}
    return {"goal": goal, "steps": [f"hour {hour + 1} of {goal}" for hour in range(answer.data.hours)]}


server.run()
