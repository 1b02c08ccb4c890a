//! What is printed, where, and what is asked.

use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use console::Term;
use prost::{Message, Name};

use crate::args::{Color, Globals, Output};
use crate::failure::Failure;
use crate::table::Table;

/// stdout for answers, stderr for words about them.
pub(crate) struct Terminal {
    output: Output,
    quiet: bool,
}

impl Terminal {
    pub(crate) fn new(globals: &Globals) -> Self {
        let choice = match globals.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self {
            output: globals.output,
            quiet: globals.quiet,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints an answer: as JSON if that was asked for, else as `text` words it.
    pub(crate) fn answer<M: Message + Name>(&self, message: &M, text: impl FnOnce() -> String) {
        match self.output {
            Output::Json => self.print(&format!("{:#}\n", pinion_proto::to_json(message))),
            Output::Text => self.print(&text()),
        }
    }

    /// Prints many messages as one JSON array, or as `text` words them.
    pub(crate) fn answers<M: Message + Name>(&self, messages: &[M], text: impl FnOnce() -> String) {
        match self.output {
            Output::Json => {
                let list: Vec<_> = messages.iter().map(pinion_proto::to_json).collect();
                self.print(&format!("{:#}\n", serde_json::Value::Array(list)));
            }
            Output::Text => self.print(&text()),
        }
    }

    /// Prints to stdout. A reader that has gone away is no error.
    pub(crate) fn print(&self, text: &str) {
        let mut out = anstream::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.warn(format_args!("cannot write the answer: {error}"));
        }
    }

    /// A table, or a sentence when it has no rows.
    pub(crate) fn table(&self, table: &Table, when_empty: &str) -> String {
        match table.is_empty() {
            true => format!("{when_empty}\n"),
            false => table.render(width()),
        }
    }

    /// Says something on stderr that `--quiet` silences.
    pub(crate) fn note(&self, words: impl Display) {
        if !self.quiet {
            say(&format!("pinion: {}", clean(&words.to_string())));
        }
    }

    /// Says something on stderr that must not be missed.
    pub(crate) fn warn(&self, words: impl Display) {
        let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        let words = clean(&words.to_string());
        say(&format!("pinion: {style}warning:{style:#} {words}"));
    }

    /// Says why nothing came of it, and what to do next.
    pub(crate) fn fail(&self, failure: &Failure) {
        let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        // A sentence may have lines: where a file is wrong, with a picture.
        let lines = failure
            .sentences
            .iter()
            .flat_map(|sentence| sentence.lines());
        let mut sentences = lines.map(clean);
        let first = sentences.next().unwrap_or_default();
        say(&format!("pinion: {style}error:{style:#} {first}"));
        for sentence in sentences {
            say(&format!("  {sentence}"));
        }
        for step in &failure.next_steps {
            say(&format!("  {} {}", bold("next:"), clean(step)));
        }
    }

    /// Prints a longer text on stderr, as it is.
    pub(crate) fn tell(&self, text: &str) {
        say(text);
    }

    /// Whether a person can be asked.
    pub(crate) fn is_attended(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question; Enter is no.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Failure> {
        let mut err = anstream::stderr();
        let asked = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
        asked.map_err(|cause| Failure::input(&cause))?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(|cause| Failure::input(&cause))?;
        Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Reads a secret: unseen on a terminal, else the first line of stdin.
    pub(crate) fn secret(&self, prompt: &str) -> Result<String, Failure> {
        let read = if self.is_attended() {
            let term = Term::stderr();
            term.write_str(prompt)
                .and_then(|()| term.read_secure_line())
        } else {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|_| line)
        };
        read.map(|line| line.trim().to_owned())
            .map_err(|cause| Failure::input(&cause))
    }
}

/// The width of stdout, if it is a terminal.
pub(crate) fn width() -> Option<usize> {
    Term::stdout()
        .size_checked()
        .map(|(_, columns)| usize::from(columns))
}

/// Bold; the colour choice strips it where it does not belong.
pub(crate) fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// Text from elsewhere, without what could steer the terminal or break a line.
pub(crate) fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\t' | '\r' => ' ',
        c if c.is_control() => '\u{fffd}',
        // Bidirectional overrides can show words in another order than they are.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

fn say(line: &str) {
    // stderr that is gone leaves nobody to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}
