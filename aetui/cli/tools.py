"""The commands that concern no run: what comes with aetui, and what is measured on a machine."""

from typing import Annotated

from cyclopts import Parameter, validators

from aetui.cli.stored import Flag


def clinic() -> int:
    """List known failures, each with its cause and its repair, and what must not be taken for one."""
    from aetui.cli.clinic import list_gallery

    return list_gallery()


def presets() -> int:
    """List the specs that come with aetui."""
    from aetui import presets as shipped

    more = f"{shipped.CLINIC}NAME"
    width = max(map(len, (*shipped.names(), more)))
    for name in shipped.names():
        print(f"{name:<{width}}  {shipped.summary(name)}")
    print(f"{more:<{width}}  Known failures and look-alikes; aetui clinic lists them")
    return 0


def bench(
    *,
    json: Flag = False,
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 2,
    seconds: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=600))] = 0.4,
    ranks: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1,
) -> int:
    """Measure on this machine what watching a run costs.

    Parameters
    ----------
    json
        Print one JSON object instead of a table.
    rounds
        Times that each case is measured; the medians count, and their spread is shown.
    seconds
        Length of one measurement of a loop.
    ranks
        With more than one: what watching a training of so many processes costs, and nothing else.
    """
    if ranks > 1:
        from aetui.bench.ranks import ranks_and_print

        return ranks_and_print(ranks, rounds=rounds, seconds=seconds, as_json=json)
    from aetui.bench.measuring import bench_and_print

    return bench_and_print(rounds=rounds, seconds=seconds, as_json=json)


def selftest(
    *,
    device: Annotated[str | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Try out on a device of this machine what aetui promises; status 0 where all of it holds.

    Parameters
    ----------
    device
        cuda, cuda:1, mps or cpu; without it the GPU where there is one.
    json
        Print one JSON object instead of a table.
    """
    from aetui.selftest.running import selftest_and_print

    return selftest_and_print(device, as_json=json)


commands = (clinic, presets, bench, selftest)
