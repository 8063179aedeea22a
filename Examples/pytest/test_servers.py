"""Three servers, opened once for all tests; and once more in a fixture of its own, as those who come from exit stacks have it.

    pip install -r requirements.txt
    pytest
"""
import pytest
import pytest_asyncio
from pytest_mcp_host import HostManager, ToolFailed


def test_forecast(mcp_host):
    assert mcp_host.weather.forecast(city="Lisbon").data == {"sky": "sun", "celsius": 24}


def test_unknown_city(mcp_host):
    with pytest.raises(ToolFailed, match="no forecast for Atlantis"):
        mcp_host.weather.forecast(city="Atlantis")


@pytest.mark.asyncio
async def test_plan(mcp_host):
    with mcp_host.answers(form={"hours": 2}):
        plan = await mcp_host.planning.aio.plan(goal="tea")
    assert plan.data["steps"] == ["hour 1 of tea", "hour 2 of tea"]


def test_environment_is_not_ours(mcp_host, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    assert mcp_host.environment.check(names=["STAGE", "SECRET"]).data == {"STAGE": True, "SECRET": False}


def test_after_a_crash(mcp):
    mcp.kill("weather")
    mcp.wait("weather", "ready")
    assert mcp.weather.forecast(city="Aachen").data["sky"] == "rain"


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def host_manager():
    manager = HostManager(".mcp.json")
    await manager.initialize()
    yield manager
    await manager.shutdown()


class TestManager:
    @pytest.mark.asyncio  # on the loop of the function, and not of the class: it does not matter
    async def test_call(self, host_manager):
        assert (await host_manager.call("weather", "forecast", city="Aachen")).data["celsius"] == 11

    def test_sync(self, host_manager):
        assert host_manager.call("weather", "forecast", city="Lisbon").data["celsius"] == 24
