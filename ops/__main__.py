"""`python -m ops`: the same as `chatferry`."""

from ops.cli import main

if __name__ == "__main__":
    main(prog_name="chatferry")
