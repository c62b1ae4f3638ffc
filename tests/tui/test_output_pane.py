from pathlib import Path

from msgspec.structs import replace

from aetui.tui.panes.output_pane import OutputPane


def shown(render_pane, run_model, file: Path, size=(60, 10), keys=()):
    model = run_model()
    model.info = replace(model.info, output=str(file))
    return render_pane(OutputPane(), model, size, keys=list(keys))


def test_the_last_lines_are_shown_as_a_terminal_would_have_them_in_the_end(render_pane, run_model, tmp_path):
    file = tmp_path / "output.txt"
    bar = "\r".join(f"epoch 1: {done} %|" for done in (0, 50, 100))
    file.write_bytes(b"old\n" * 50 + f"{bar}\n\x1b[31mred\x1b[0m  two\tcolumns\n\xff [b]kept[/b]\n".encode("latin-1"))
    text = "\n".join(shown(render_pane, run_model, file))
    assert "epoch 1: 100 %|" in text
    assert "50 %" not in text
    assert "red  two" in text
    assert "[31m" not in text
    assert "[b]kept[/b]" in text


def test_it_follows_what_comes_unless_scrolled_back(render_pane, run_model, tmp_path):
    file = tmp_path / "output.txt"
    file.write_text("".join(f"line {number}\n" for number in range(100)))
    assert "line 99" in shown(render_pane, run_model, file)[-2]
    lines = shown(render_pane, run_model, file, keys=["home"])
    assert "line 0" in lines[1]
    assert "newer lines below" in lines[-2]
    assert "line 99" in shown(render_pane, run_model, file, keys=["home", "end"])[-2]


def test_long_lines_are_wrapped_and_a_missing_file_is_said(render_pane, run_model, tmp_path):
    file = tmp_path / "output.txt"
    file.write_text("x" * 150)
    assert sum(line.count("x") for line in shown(render_pane, run_model, file)) == 150
    assert "can't be read" in "\n".join(shown(render_pane, run_model, tmp_path / "gone.txt"))


def test_only_the_end_of_a_long_output_is_read(render_pane, run_model, tmp_path):
    file = tmp_path / "output.txt"
    file.write_text("y" * 100 + "\n" + "z\n" * 200_000)
    text = "\n".join(shown(render_pane, run_model, file, keys=["home"], size=(200, 10)))
    assert f"what came before is in {file}" in text
