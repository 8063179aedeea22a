"""Tells the weather; the cities are invented."""
from fastmcp import FastMCP

server = FastMCP("weather")
FORECASTS = {"Aachen": {"sky": "rain", "celsius": 11}, "Lisbon": {"sky": "sun", "celsius": 24}}


@server.tool
def forecast(city: str) -> dict:
    """The weather of tomorrow."""
    if city not in FORECASTS:
        raise ValueError(f"no forecast for {city}; there are: {', '.join(FORECASTS)}")
    return FORECASTS[city]


server.run()
