"""Every check must find a planted fault, and must leave sound files alone."""

from __future__ import annotations

import unittest

import conformance
import docs
import machine
import provider
import sources
from fixture import Fixture
from repo import Repo, production_lines

SOUND = {
    "justfile": "alias t := test\nname := 'x'\n# all tests\ntest *ARGS:\n    cargo test {{ ARGS }}\n",
    "Cargo.toml": '[workspace]\nmembers = ["gateway"]\n',
    "gateway/Cargo.toml": '[package]\nname = "some-gateway"\n',
    "gateway/src/main.rs": "fn main() {}\n",
    "gateway/src/bus/nats.rs": '#[error("{0} is not a subject")]\n#[error("NATS is away")]\n#[error("Upgrade header missing")]\nstruct Away;\n',
    "scripts/build": "echo\n",
    "docs/guide.md": "# The guide\n## How to: start `it`\n",
    ".gitignore": "/target\nbuilt/\n",
}


class Planted(Fixture):
    def repo(self, **changed: str) -> Repo:
        """A sound repository with some files written anew; `__` in a keyword is a slash, `_` a dot."""
        return self.written(SOUND | {name.replace("__", "/").replace("_", "."): text for name, text in changed.items()})


class Conformance(Planted):
    TESTS = "#[tokio::test]\nasync fn over_all() -> Result<()> {\n"
    ROWS = "".join(f"| `{command}`: 108 | `all::over_all` | – |\n" for command in conformance.COMMANDS)

    def page(self, rows: str) -> Repo:
        return self.written(SOUND | {"docs/conformance.md": f"| | a | b |\n|---|---|---|\n{rows}", "tests/tests/some/all.rs": self.TESTS})

    def test_a_table_with_tests_passes(self) -> None:
        self.assertEqual(conformance.cells_have_tests(self.page(self.ROWS)), [])

    def test_a_cell_without_its_test(self) -> None:
        check = conformance.cells_have_tests
        self.finds(check, "names no test", self.page(self.ROWS.replace("`connect`: 108 | `all::over_all`", "`connect`: 108 | yes")))
        self.finds(check, "no test all::gone", self.page(self.ROWS + "| `more` | `all::gone` | – |\n"))
        self.finds(check, "no row for `rpc`", self.page(self.ROWS.replace("`rpc`", "`call`")))


class Docs(Planted):
    def test_sound_documents_pass(self) -> None:
        text = (
            "See `gateway/src/main.rs`, `bus/nats.rs`, `gateway/`, `gateway/src/*.rs`, `target/x.json`, `gateway/built` and\n"
            "`/connection/websocket`, `application/json`, `natter.yaml`, `namespace:name`, `foo/tests.rs`, `A=b`.\n"
            "[guide](docs/guide.md#how-to-start-it) [below](#heading) [web](https://example.org/)\n"
            "`just test`, `just t`, `cargo run -p some-gateway --bin some-gateway`, `./scripts/build`\n"
            "```sh\n$ just test   # all\ncargo test -p some-gateway && ./scripts/build fast\n```\n"
            "```text\nnowhere/else.rs\n```\n# Heading\n"
        )
        repo = self.repo(README_md=text)
        self.assertEqual(docs.paths(repo) + docs.links(repo) + docs.named_commands(repo) + docs.recipes_once(repo), [])

    def test_missing_path(self) -> None:
        self.finds(docs.paths, "README.md:2: `gateway/src/gone.rs`", self.repo(README_md="\n`gateway/src/gone.rs`\n"))
        self.finds(docs.paths, "`gone.rs`", self.repo(docs__a_md="`gone.rs`\n"))
        self.finds(docs.paths, "`docs/gone`", self.repo(README_md="`docs/gone`\n"))

    def test_broken_link(self) -> None:
        self.finds(docs.links, "no such file", self.repo(README_md="[a](docs/gone.md)\n"))
        self.finds(docs.links, "no such file", self.repo(docs__a_md="[a](docs/guide.md)\n"))
        self.finds(docs.links, "no such file", self.repo(docs__a_md="[a](../../elsewhere)\n"))
        self.finds(docs.links, "no such heading", self.repo(README_md="[a](docs/guide.md#gone)\n"))

    def test_missing_command(self) -> None:
        for command, fault in {
            "just gone": "no recipe 'gone'",
            "just name": "no recipe 'name'",
            "cargo test -p gone": "no crate 'gone'",
            "RUST_LOG=info cargo run --bin gone": "no binary 'gone'",
            "cargo test --test gone": "no test 'gone'",
            "true && ./scripts/gone": "./scripts/gone does not exist",
            "bash scripts/gone": "scripts/gone does not exist",
        }.items():
            with self.subTest(command):
                self.finds(docs.named_commands, fault, self.repo(README_md=f"```sh\n{command}\n```\n"))

    def test_recipe_twice(self) -> None:
        self.finds(docs.recipes_once, "'test' is there 2 times", self.repo(justfile=SOUND["justfile"] + "test:\n    true\n"))


class Provider(unittest.TestCase):
    def test_one_provider_passes(self) -> None:
        self.assertEqual(provider.judge('ring feature "std"\nring v0.17.14\nrustls v0.23.46 (*)\n'), [])

    def test_second_or_no_provider(self) -> None:
        self.assertIn("aws-lc-rs is in the tree", provider.judge("ring v0.17.14\naws-lc-rs v1.0.0\n")[0])
        self.assertIn("no provider", provider.judge("rustls v0.23.46\n")[0])


class Sources(Planted):
    def test_sound_sources_pass(self) -> None:
        repo = self.repo()
        for check in (sources.module_files, sources.markers, sources.error_texts, sources.file_length):
            self.assertEqual(check(repo), [])

    def test_module_file(self) -> None:
        self.finds(sources.module_files, "gateway/src/bus/mod.rs", self.repo(gateway__src__bus__mod_rs=""))

    def test_marker(self) -> None:
        for line in ("// TODO later", "    todo!()", "dbg!(x);", "/* FIXME */"):
            with self.subTest(line):
                self.finds(sources.markers, "a.rs:2", self.repo(gateway__src__a_rs=f"\n{line}\n"))

    def test_error_text(self) -> None:
        for line, fault in {
            '#[error("Bus is away")]': "capital",
            '#[error(\n  "bus is away."\n)]': "period",
            'bail!("No room {room}")': "capital",
            '.with_context(|| format!("reading {path}."))': "period",
        }.items():
            with self.subTest(line):
                self.finds(sources.error_texts, fault, self.repo(gateway__src__a_rs=line))

    def test_file_length(self) -> None:
        long = "// line\n" * (sources.LONGEST_FILE + 1)
        self.finds(sources.file_length, "501 production lines", self.repo(gateway__src__a_rs=long))
        self.assertEqual(sources.file_length(self.repo(gateway__src__a__tests_rs=long)), [])
        self.assertEqual(production_lines("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), 1)
        self.assertEqual(production_lines("fn a() {}\n#[cfg(test)]\nmod tests;\n"), 3)


class Machine(Planted):
    def test_sound_files_pass(self) -> None:
        repo = self.repo(
            README_md="target/work/x, $HOME/work/, https://example.org/home/me/, GET /connection/websocket\n",
            tests___npmrc="omit-lockfile-registry-resolved=true\n",
            Cargo_lock=f'source = "{machine.CRATES_IO}"\n',
        )
        for check in (machine.local_paths, machine.registry_addresses, machine.crate_sources):
            self.assertEqual(check(repo), [])

    def test_local_path(self) -> None:
        for path in ("/work/x", "/home/me/x", "/root/x", "/Users/me/x"):
            with self.subTest(path):
                self.finds(machine.local_paths, "README.md:1", self.repo(README_md=f"in `{path}`\n"))

    def test_registry_address(self) -> None:
        lock = '{"packages": {"a": {"resolved": "x"}}}'
        self.finds(machine.registry_addresses, "resolved", self.repo(**{"tests__package-lock_json": lock}))
        address = "https://registry.example.org/a"
        self.finds(machine.registry_addresses, "address of", self.repo(README_md=address))
        self.finds(machine.registry_addresses, ".npmrc:2", self.repo(tests___npmrc="save=true\nregistry=x\n"))

    def test_crate_source(self) -> None:
        lock = 'source = "git+https://example.org/a#1"\n'
        self.finds(machine.crate_sources, "Cargo.lock:1", self.repo(Cargo_lock=lock))
