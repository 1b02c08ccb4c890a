//! A bisection of real packages: wheels that pip installs into a virtual environment, and a real test suite.
#![allow(missing_docs, reason = "tests")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Writes the wheels of six packages, each in 1.0 and 2.0, into the folder it is given. In `shapes` 2.0 an
/// area is a text, and `report` 2.0 needs `shapes` 2.0 or later.
const WHEELS: &str = r#"
import base64, hashlib, pathlib, sys, zipfile

CODE = {
    "colors": ("NAMES = ['red']", "NAMES = ['red', 'green']"),
    "lines": ("def length(a, b): return abs(a - b)",) * 2,
    "report": ("def show(value): return f'<{value}>'", "def show(value): return f'<{value:>4}>'"),
    "shapes": ("def area(side): return side * side", "def area(side): return str(side * side)"),
    "units": ("def inches(cm): return cm / 2.54",) * 2,
    "words": ("def count(text): return len(text.split())",) * 2,
}
for name, codes in CODE.items():
    for version, code in zip(("1.0", "2.0"), codes):
        info = f"{name}-{version}.dist-info"
        needs = "Requires-Dist: shapes>=2.0\n" if (name, version) == ("report", "2.0") else ""
        files = {
            f"{name}.py": code + "\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = []
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(text)}")
        files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
        with zipfile.ZipFile(pathlib.Path(sys.argv[1], f"{name}-{version}-py3-none-any.whl"), "w") as wheel:
            for path, text in files.items():
                wheel.writestr(path, text)
"#;

const SUITE: &str = r#"
import unittest
import colors, lines, report, shapes, units, words

class Drawing(unittest.TestCase):
    def test_areas_add_up(self):
        self.assertEqual(shapes.area(2) + shapes.area(1), 5)

    def test_lines(self):
        self.assertEqual(lines.length(3, 1), 2)

    def test_words(self):
        self.assertEqual(words.count(report.show("a b")), 2)

    def test_colors(self):
        self.assertIn("red", colors.NAMES)

    def test_units(self):
        self.assertAlmostEqual(units.inches(2.54), 1)
"#;

const NAMES: [&str; 6] = ["colors", "lines", "report", "shapes", "units", "words"];

struct Project {
    dir: PathBuf,
    python: PathBuf,
}

impl Project {
    /// Nothing where this machine has no python with venv and pip, and its absence is allowed.
    fn find(dir: &Path) -> Option<Self> {
        match Self::make(dir) {
            Ok(project) => Some(project),
            Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
                panic!("python3 with venv and pip is required: {missing}")
            }
            Err(missing) => {
                eprintln!("skipped: python3 with venv and pip is needed: {missing}");
                None
            }
        }
    }

    fn make(dir: &Path) -> Result<Self, String> {
        // The interpreter itself: a shim in the search path may look for its settings in the home folder.
        let found = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .map_err(|error| format!("python3: {error}"))?;
        let interpreter = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
        let venv = dir.join("venv");
        run(
            &interpreter,
            dir,
            ["-m".as_ref(), "venv".as_ref(), venv.as_os_str()],
        )?;
        let project = Self {
            dir: dir.join("project"),
            python: venv.join("bin/python"),
        };
        run(&project.python, dir, ["-m", "pip", "--version"])?;
        std::fs::create_dir(&project.dir).expect("a folder");
        let wheels = dir.join("wheels");
        std::fs::create_dir(&wheels).expect("a folder");
        let write = ["-c".as_ref(), OsStr::new(WHEELS), wheels.as_os_str()];
        run(&interpreter, dir, write).expect("writes the wheels");
        project.write("test_drawing.py", SUITE);
        project.write(
            "requirements.txt",
            &NAMES.map(|name| format!("{name}\n")).concat(),
        );
        for (file, version) in [("good.txt", "1.0"), ("bad.txt", "2.0")] {
            let pins = NAMES.map(|name| format!("{name}=={version}\n"));
            project.write(file, &pins.concat());
        }
        Ok(project)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).expect("written");
    }

    /// The installed packages of the suite, as `name==version`.
    fn installed(&self) -> String {
        let list = ["-m", "pip", "freeze", "--disable-pip-version-check"];
        let text = run(&self.python, &self.dir, list).expect("lists");
        let ours = |line: &&str| NAMES.iter().any(|name| line.starts_with(name));
        text.lines()
            .filter(ours)
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

/// Runs a program with nobody's settings, and gives its output.
fn run<I, S>(program: &Path, home: &Path, arguments: I) -> Result<String, String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = plain(program, home)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    match output.status.success() {
        true => Ok(words(&output.stdout)),
        false => Err(words(&output.stderr) + &words(&output.stdout)),
    }
}

fn plain(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn the_package_that_breaks_a_test_suite_is_found_and_the_environment_is_as_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(project) = Project::find(dir.path()) else {
        return;
    };
    let python = project.python.display();
    let install = format!(
        "{python} -m pip install -q --no-index --find-links ../wheels --disable-pip-version-check -r requirements.txt"
    );
    // What the checkout had before: the bad pins, by its own constraints.
    let own = project.dir.join("bad.txt");
    let mut before = plain(Path::new("sh"), dir.path());
    let before = before
        .args(["-c", &install])
        .env("PIP_CONSTRAINT", &own)
        .current_dir(&project.dir)
        .status();
    assert!(before.expect("runs").success());
    let bad = std::fs::read_to_string(&own).expect("there");
    assert_eq!(project.installed(), bad);

    let begun = std::time::Instant::now();
    let mut bisect = plain(Path::new(env!("CARGO_BIN_EXE_pinion")), dir.path());
    let Output {
        status,
        stdout,
        stderr,
    } = bisect
        .args([
            "bisect",
            "--good",
            "good.txt",
            "--bad",
            "bad.txt",
            "--install",
            &install,
            "--",
        ])
        .arg(&project.python)
        .args(["-m", "unittest", "-q"])
        .env("PIP_CONSTRAINT", &own)
        .current_dir(&project.dir)
        .output()
        .expect("runs");
    let (out, err) = (words(&stdout), words(&stderr));
    assert_eq!(project.installed(), bad, "as before: {err}");
    println!("{err}\n{out}\n{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(
        out.starts_with("culprit: shapes 1.0 -> 2.0\nfound among 6 changes"),
        "{out}\n{err}"
    );
    // Some mixtures cannot be installed: `report` 2.0 needs `shapes` 2.0.
    assert!(err.contains("could not be tested"), "{err}");
}
