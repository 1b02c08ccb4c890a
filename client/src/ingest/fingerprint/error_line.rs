//! The one line of a traceback, a panic or a compiler's output that says what went wrong.
//!
//! Python ends in it, Java and JavaScript begin with it, Rust has it below the place of the panic, Go
//! before the goroutines.

use std::sync::LazyLock;

use regex::Regex;

/// The line, and the code that some tools give it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ingest) struct ErrorLine {
    /// Such as `E0308`: its digits tell one kind of error from another.
    pub(in crate::ingest) code: Option<String>,
    pub(in crate::ingest) text: String,
}

impl ErrorLine {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            code: None,
            text: text.into(),
        }
    }
}

/// The line of an exception, a panic, a failed assertion or a compiler error; `None` if there is none.
pub(in crate::ingest) fn find(text: &str) -> Option<ErrorLine> {
    let text = COLOUR.replace_all(text, "");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    rust_panic(&lines)
        .or_else(|| go_panic(&lines))
        .or_else(|| pytest(&lines))
        .or_else(|| python(&lines))
        .or_else(|| go_test(&lines))
        .or_else(|| frames_below(&lines))
        .or_else(|| exception(&lines))
        .or_else(|| compiler(&lines))
}

/// The first line by which a tool complains, such as pip's `ERROR: ...`; `None` if there is none.
pub(in crate::ingest) fn find_complaint(text: &str) -> Option<ErrorLine> {
    let text = COLOUR.replace_all(text, "");
    let found = text
        .lines()
        .find_map(|line| COMPLAINT.captures(line.trim()))?;
    let said = found.get(2).map_or("", |said| said.as_str());
    // npm says only its code on the first line.
    let code = said.strip_prefix("code ").map(str::to_owned);
    match code {
        Some(code) => Some(ErrorLine {
            code: Some(code),
            text: String::new(),
        }),
        None => Some(ErrorLine::plain(said)),
    }
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns here are well formed")
}

static COLOUR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1b\[[0-9;?]*[ -/]*[@-~]"));

static COMPLAINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(npm (?:ERR!|error)|\[?(?:ERROR|FATAL|Error|error|fatal)\]?(?: ?:|!|\])|E:|make(?:\[\d+\])?: \*\*\*|CMake Error(?: at [^:]*)?:?|Segmentation fault|Killed|Bus error|Aborted) *(.*\S)",
    )
});

/// `thread 'main' panicked at src/main.rs:2:5:`, and the message on the next line; before Rust 1.73 the
/// message stood quoted on the same line.
fn rust_panic(lines: &[&str]) -> Option<ErrorLine> {
    let at = lines
        .iter()
        .position(|line| line.contains("thread '") && line.contains(" panicked at "))?;
    let (_, place) = lines[at].split_once(" panicked at ")?;
    let quoted = place
        .strip_prefix('\'')
        .and_then(|quoted| quoted.rsplit_once("', "));
    let message = match quoted {
        Some((message, _)) => message,
        None => lines[at + 1..]
            .iter()
            .map(|line| line.trim())
            .find(|line| !line.is_empty())
            .unwrap_or_default(),
    };
    Some(ErrorLine::plain(format!("panic: {message}")))
}

/// `panic: ...` or `fatal error: ...`, then the goroutines.
fn go_panic(lines: &[&str]) -> Option<ErrorLine> {
    let is_go = |line: &&str| line.starts_with("goroutine ") || line.starts_with("[signal SIG");
    let at = lines.iter().position(|line| {
        let line = line.trim_start();
        line.starts_with("panic: ") || line.starts_with("fatal error: ")
    })?;
    if !lines[at..].iter().any(is_go) {
        return None;
    }
    let line = lines[at].trim_start();
    let line = line.split(" [recovered").next().unwrap_or(line);
    Some(ErrorLine::plain(line))
}

/// pytest marks the lines of an exception with `E`; of chained ones the last is the one that was raised.
fn pytest(lines: &[&str]) -> Option<ErrorLine> {
    fn marked<'a>(line: &&'a str) -> Option<&'a str> {
        let rest = line.trim_start().strip_prefix("E  ")?.trim();
        (!rest.is_empty()).then_some(rest)
    }
    let last = lines.iter().rposition(|line| marked(line).is_some())?;
    let first = lines[..last]
        .iter()
        .rposition(|line| marked(line).is_none() && line.trim() != "E")
        .map_or(0, |before| before + 1);
    // In `--tb=native` blocks and in collection errors, whole tracebacks are marked.
    let block: Vec<&str> = lines[first..=last]
        .iter()
        .map(|line| {
            line.trim_start()
                .trim_start_matches('E')
                .strip_prefix("   ")
                .unwrap_or_default()
        })
        .collect();
    python(&block).or_else(|| {
        lines[first..=last]
            .iter()
            .find_map(marked)
            .map(ErrorLine::plain)
    })
}

/// The first line after the frames of the last traceback; a group of exceptions is told by its last one.
fn python(lines: &[&str]) -> Option<ErrorLine> {
    let bare = |line: &str| GROUP_MARGIN.replace(line, "").into_owned();
    let header = "Traceback (most recent call last):";
    let at = lines.iter().rposition(|line| {
        bare(line).trim_start() == header || bare(line).starts_with("Exception Group Traceback")
    })?;
    let below = lines[at + 1..].iter().map(|line| bare(line));
    let indent = indent_of(&bare(lines[at]));
    below
        .filter(|line| !line.trim().is_empty())
        .find(|line| indent_of(line) <= indent)
        .map(|line| ErrorLine::plain(line.trim()))
}

static GROUP_MARGIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^ *[|+] ?"));

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Java, Kotlin, Scala, JavaScript, C#: the message, then frames that begin with `at`. The last cause is
/// what went wrong first.
fn frames_below(lines: &[&str]) -> Option<ErrorLine> {
    let is_frame = |line: &&str| FRAME.is_match(line);
    let first_frame = lines.iter().position(is_frame)?;
    let cause = lines
        .iter()
        .rev()
        .find_map(|line| line.trim_start().strip_prefix("Caused by: "));
    let cause = cause.or_else(|| {
        // Node.js shows a cause as a property.
        let inner = lines.iter().rev().map(|line| line.trim_start());
        let mut inner = inner.filter_map(|line| {
            let cause = line.strip_prefix("[cause]: ");
            cause.or_else(|| line.strip_prefix("cause: "))
        });
        inner.find(|cause| exception_name(cause).is_some())
    });
    if let Some(cause) = cause {
        return Some(ErrorLine::plain(line_of_exception(cause)));
    }
    let above = &lines[..first_frame];
    let head = above
        .iter()
        .rev()
        .find(|line| exception_name(line).is_some());
    head.map(|line| ErrorLine::plain(line_of_exception(line)))
}

static FRAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s+at (?:.*\(.*\)|\S+:\d+:\d+|async .*|new .*|\S+ in \S.*)$"));

/// The last line that begins with an exception's name.
fn exception(lines: &[&str]) -> Option<ErrorLine> {
    let line = lines
        .iter()
        .rev()
        .find(|line| exception_name(line).is_some())?;
    Some(ErrorLine::plain(line_of_exception(line)))
}

/// The exception's name and message, without thread and code: `AssertionError [ERR_ASSERTION]: ...` is the
/// same as `AssertionError: ...`.
fn line_of_exception(line: &str) -> String {
    let line = line.trim();
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    let found = IN_THREAD.find(line).map_or(0, |prefix| prefix.end());
    let line = line[found..].trim_end_matches(" {");
    CODE.replace(line, "$1").into_owned()
}

static CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\w+) \[\w+\]"));

static IN_THREAD: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^Exception in thread "[^"]*" "#));

fn exception_name(line: &str) -> Option<String> {
    let line = line_of_exception(line);
    let found = EXCEPTION.captures(&line)?;
    let name = found.get(1)?.as_str();
    let ends_well = [
        "Error",
        "Exception",
        "Warning",
        "Failure",
        "Exit",
        "Interrupt",
        "Throwable",
    ];
    let last = name.rsplit(['.', '$', ':', '\\']).next().unwrap_or(name);
    let is_named = ends_well.iter().any(|ending| last.ends_with(ending));
    // A bare warning is only told.
    (is_named && name != "Warning").then(|| name.to_owned())
}

static EXCEPTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^([A-Za-z_][\w$]*(?:(?:\.|::|\\)[\w$]+)*)(?: \(\w+\))?(?: ?:(?: |$).*|)$")
});

/// `x_test.go:19: message`: the last one, since `t.Fatal` ends the test. testify's message stands below.
fn go_test(lines: &[&str]) -> Option<ErrorLine> {
    if let Some(at) = lines.iter().rposition(|line| line.contains("Error Trace:")) {
        let below = lines[at..].iter().map(|line| line.trim_start());
        let said = below
            .filter_map(|line| line.strip_prefix("Error:"))
            .map(str::trim);
        return said
            .filter(|said| !said.is_empty())
            .map(ErrorLine::plain)
            .next();
    }
    let said = lines.iter().rev().find_map(|line| GO_TEST.captures(line))?;
    // A place without a word says nothing.
    let said = said.get(1)?.as_str();
    Some(ErrorLine::plain(format!("test: {said}")))
}

static GO_TEST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*\S+\.go:\d+:(?: +(.*)|)$"));

/// `error[E0308]: mismatched types`, `x.ts(3,5): error TS2322: ...`, `x.go:3:5: undefined: y`.
fn compiler(lines: &[&str]) -> Option<ErrorLine> {
    lines.iter().find_map(|line| {
        let line = line.trim_start();
        if let Some(found) = COMPILER.captures(line) {
            let code = found.get(1).map(|code| code.as_str().to_owned());
            let text = found.get(2)?.as_str().to_owned();
            return Some(ErrorLine { code, text });
        }
        let said = GO_BUILD.captures(line)?.get(1)?.as_str();
        Some(ErrorLine::plain(said))
    })
}

static COMPILER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:\S+[:(]\d+(?:[:,]\d+)?\)?: )?(?:fatal )?error(?: ?\[?([A-Z]+\d+)\]?)?: (.*\S)$")
});

static GO_BUILD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\S+\.go:\d+:\d+: (.*\S)$"));

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        find(text).map(|line| line.text).unwrap_or_default()
    }

    #[test]
    fn python_ends_in_it() {
        let pytest_block =
            "def test():\n> raise X\nE   ValueError: bad\nE   and more\n\nfile.py:3: ValueError";
        assert_eq!(text(pytest_block), "ValueError: bad");
        let chained = "E   KeyError: 'a'\n\nDuring handling of the above exception\n\nE   Gone: b\n\nx.py:3: Gone";
        assert_eq!(text(chained), "Gone: b");
        let unittest =
            "Traceback (most recent call last):\n  File \"x\", line 3\n    f()\nmine.Bang\n";
        assert_eq!(text(unittest), "mine.Bang");
        let group = "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File \"x.py\", line 3, in f\n    |     g()\n    | ValueError: inner\n    +------------------------------------\n";
        assert_eq!(text(group), "ValueError: inner");
    }

    #[test]
    fn java_and_javascript_begin_with_it() {
        let java = "Exception in thread \"main\" java.lang.RuntimeException: boot\n\tat a.B.c(B.java:3)\nCaused by: java.lang.NoSuchMethodError: x\n\t... 3 more\n";
        assert_eq!(text(java), "java.lang.NoSuchMethodError: x");
        let node = "file:///x.mjs:3\n  f()\n  ^\n\nTypeError: f is not a function\n    at file:///x.mjs:3:3\n    at ModuleJob.run (node:internal/x:1:2)\n\nNode.js v20.1.0\n";
        assert_eq!(text(node), "TypeError: f is not a function");
        let coded = "AssertionError [ERR_ASSERTION]: 1 == 2\n    at Test.<anonymous> (/x/y.js:1:2) {\n  code: 'E'\n}";
        assert_eq!(text(coded), "AssertionError: 1 == 2");
    }

    #[test]
    fn other_languages_name_their_exceptions_too() {
        for (printed, expected) in [
            (
                "System.NullReferenceException : Object reference\n   at A.B() in x.cs:line 3",
                "System.NullReferenceException : Object reference",
            ),
            (
                "App\\Error\\NotFoundException: no such page",
                "App\\Error\\NotFoundException: no such page",
            ),
            (
                "Faraday::ConnectionFailedError: refused",
                "Faraday::ConnectionFailedError: refused",
            ),
        ] {
            assert_eq!(text(printed), expected);
        }
    }

    #[test]
    fn rust_has_it_below_the_place_and_go_before_the_goroutines() {
        for rust in [
            "thread 'a::b' (77) panicked at src/x.rs:1:2:\nindex out of bounds\nnote: run",
            "thread 'main' panicked at src/x.rs:1:2:\nindex out of bounds",
            "thread 'main' panicked at 'index out of bounds', src/x.rs:1:2",
        ] {
            assert_eq!(text(rust), "panic: index out of bounds");
        }
        let go = "--- FAIL: TestX (0.00s)\npanic: bad [recovered]\n\tpanic: bad\n\ngoroutine 7 [running]:\n";
        assert_eq!(text(go), "panic: bad");
        assert_eq!(
            text("    x_test.go:3: starting\n    x_test.go:9: got 2"),
            "test: got 2"
        );
        let testify = "    x_test.go:9: \n        \tError Trace:\tx_test.go:9\n        \tError:      \tNot equal: \n";
        assert_eq!(text(testify), "Not equal:");
    }

    #[test]
    fn compilers_give_codes() {
        let rustc = find("error[E0308]: mismatched types\n --> src/x.rs").expect("an error");
        assert_eq!(
            (rustc.code.as_deref(), rustc.text.as_str()),
            (Some("E0308"), "mismatched types")
        );
        let tsc = find("src/x.ts(3,5): error TS2322: Type 'a' is no 'b'.").expect("an error");
        assert_eq!(tsc.code.as_deref(), Some("TS2322"));
        assert_eq!(text("./x.go:3:5: undefined: y"), "undefined: y");
        assert_eq!(
            text("x.c:1:10: fatal error: y.h: No such file"),
            "y.h: No such file"
        );
    }

    #[test]
    fn prose_is_no_error_line() {
        for prose in [
            "expected 3",
            "no Error here",
            "2 failed in 0.3s",
            "see Error: below the fold? no",
        ] {
            assert_eq!(find(prose), None, "{prose}");
            assert_eq!(find_complaint(prose), None, "{prose}");
        }
        let pip = find_complaint("Collecting x\nERROR: No matching distribution found for x\n");
        assert_eq!(
            pip,
            Some(ErrorLine::plain("No matching distribution found for x"))
        );
        let npm =
            find_complaint("npm error code E404\nnpm error 404 Not Found").expect("a complaint");
        assert_eq!(npm.code.as_deref(), Some("E404"));
    }
}
