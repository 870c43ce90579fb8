"""What tracing and metrics cost each service: CPU time per message, with and without.

    .venv/bin/python tests/bench/tracing_cost.py [ROUNDS [SECONDS]]

Six real services (scripted asr, llm and tts behind theirs, so that their own work is all there is)
hold one conversation: 50 microphone messages a second, an answer every few seconds. In every other
round spans and metrics go to a sink in this process by OTLP, and Prometheus' port is open; in the
others nothing is switched on. A round's figure is each process' CPU time over the conversation,
all threads, for each of its 50 messages a second. The order of the two changes from round to round.

What is switched on costs the same whatever a stage does, so the last columns set it against what
the same services take with their default models, in one more round with nothing switched on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from stagewire_cli.conversation import Conversation, Question
from stagewire_cli.stack import STAGES, Ports, services
from stagewire_cli.supervisor import Supervisor
from support.otlp import sink
from support.stack import Stack, spoken
from tracing.conftest import exporting, noise, running

MESSAGES_PER_SECOND = 50


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, by the scheduler's clock."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def converse(
    stack: Stack, seconds: float, question: Question | None = None
) -> dict[str, float]:
    """Each service's CPU microseconds per message, over one conversation."""
    asked = [question or noise()]
    loop = asyncio.get_running_loop()

    async def ask_until(end: float) -> None:
        while loop.time() < end:
            await conversation.run(asked, None)

    async with stack.client() as (_, client):
        conversation = Conversation(client, lambda _: None)
        await conversation.run(asked, None)  # everything has been used once
        began = loop.time()
        before = {stage: cpu_seconds(stack.supervisor.pid(stage)) for stage in STAGES}
        await ask_until(began + seconds)
        messages = MESSAGES_PER_SECOND * (loop.time() - began)
        return {
            stage: 1e6 * (cpu_seconds(stack.supervisor.pid(stage)) - before[stage]) / messages
            for stage in STAGES
        }


async def measure(switched_on: bool, seconds: float) -> dict[str, float]:
    """One round: a new stack, one conversation."""
    with sink() as collector:
        shut = {f"STAGEWIRE_{stage.upper()}_METRICS_PORT": "0" for stage in STAGES}
        usual = {"OTEL_BSP_SCHEDULE_DELAY": "5000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
        told = {**exporting(collector), **usual} if switched_on else shut
        folder = Path(tempfile.mkdtemp())
        async with running(folder, **told) as stack:
            return await converse(stack, seconds)


async def with_models(seconds: float) -> dict[str, float]:
    """One round of the default stack, with its models and nothing switched on."""
    ports = Ports.free()
    shut = {stage: {f"STAGEWIRE_{stage.upper()}_METRICS_PORT": "0"} for stage in STAGES}
    stack = services(ports, extra=shut, user={})
    async with Supervisor(stack, Path(tempfile.mkdtemp())) as supervisor:
        return await converse(Stack(supervisor, ports), seconds, spoken("go-forward"))


async def main(rounds: int, seconds: float) -> None:
    """Measures, and prints the medians."""
    off: list[dict[str, float]] = []
    on: list[dict[str, float]] = []
    for number in range(rounds):
        for switched_on in (False, True) if number % 2 else (True, False):
            (on if switched_on else off).append(await measure(switched_on, seconds))
    whole = await with_models(seconds)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{rounds} rounds of {seconds:g} s each way; load average at the end {load}")
    print("CPU us per message       off      on    more  of a core  with models  of that")
    for stage in STAGES:
        without, with_it = (median(figures[stage] for figures in each) for each in (off, on))
        more = with_it - without
        print(
            f"{stage:20}{without:8.0f}{with_it:8.0f}{more:8.0f}"
            f"{100 * more * MESSAGES_PER_SECOND / 1e6:10.2f}%"
            f"{whole[stage]:13.0f}{100 * more / whole[stage]:8.2f}%"
        )


if __name__ == "__main__":
    asked = [float(argument) for argument in sys.argv[1:]]
    asyncio.run(main(int(asked[0]) if asked else 5, asked[1] if len(asked) > 1 else 30.0))
