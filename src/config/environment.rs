//! Variables: those of the process, and below them those of a file (`--env-file`). The file is what Docker, Compose and
//! systemd read, where they read the same; where they differ it is refused, so that no secret changes with its reader.
//!
//! The process goes before the file, as with `docker compose --env-file`: what a user sets for one run counts.

use super::{load::read_bounded, problem::Problem, substitute::is_name};
use std::{collections::HashMap, fmt, path::Path};

/// Where variables are looked up.
#[derive(Clone, Default)]
pub struct Environment {
    /// Those of the file, if there is one.
    file: HashMap<String, String>,
}

/// Names only: the values are secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.file.keys()).finish()
    }
}

impl Environment {
    /// The process alone where no file is named; else with the file, or everything that is wrong with it.
    pub fn read(file: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let Some(path) = file else {
            return Ok(Self::default());
        };
        let name = path.display().to_string();
        let problem = |place, message| Problem {
            file: name.clone(),
            place,
            key: String::new(),
            message,
        };
        let text = read_bounded(path).map_err(|error| {
            let message = format!("the file of variables can't be read: {error}");
            vec![problem(None, message)]
        })?;
        parse(&text).map(|file| Self { file }).map_err(|bad| {
            let problems = bad.into_iter();
            problems
                .map(|bad| problem(Some(bad.place), bad.message))
                .collect()
        })
    }

    /// The value of a variable, of the process if it has it. One that is not UTF-8 counts as unset.
    pub fn variable(&self, name: &str) -> Option<String> {
        match std::env::var(name) {
            Ok(value) => Some(value),
            Err(std::env::VarError::NotPresent) => self.file.get(name).cloned(),
            Err(std::env::VarError::NotUnicode(_)) => None,
        }
    }
}

/// What is wrong with a line; never with its value, which may be a secret.
#[derive(Debug, PartialEq, Eq)]
struct Bad {
    /// 1-based line and column.
    place: (usize, usize),
    message: String,
}

/// What a line may be.
const ACCEPTED: &str =
    "accepted: NAME=VALUE, NAME=\"VALUE\", NAME='VALUE', and lines that begin with #";

/// Reads every line, and says all that is wrong.
fn parse(text: &str) -> Result<HashMap<String, String>, Vec<Bad>> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut reader = Reader {
        rest: &text,
        line: 1,
        column: 1,
    };
    let mut variables = HashMap::new();
    let mut bad = Vec::new();
    while !reader.rest.is_empty() {
        match reader.entry() {
            Ok(None) => {}
            Ok(Some((place, name, value))) => {
                if variables.contains_key(&name) {
                    bad.push(Bad {
                        place,
                        message: format!("{name} stands here a second time; keep one of them"),
                    });
                }
                variables.insert(name, value);
            }
            Err(found) => bad.push(found),
        }
        // Whatever was found, the next entry begins on the next line.
        let rest = reader
            .rest
            .find('\n')
            .map_or(reader.rest.len(), |at| at + 1);
        reader.skip(rest);
    }
    if bad.is_empty() {
        Ok(variables)
    } else {
        Err(bad)
    }
}

/// What is not read yet, and where it begins.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

/// Where a name stands, the name, and its value.
type Entry = ((usize, usize), String, String);

impl Reader<'_> {
    /// Reads a variable; none of an empty line or a comment.
    fn entry(&mut self) -> Result<Option<Entry>, Bad> {
        self.skip_blanks();
        let line = self.line();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if let Some(after) = line.strip_prefix("export ") {
            self.skip(line.len() - after.len());
            self.skip_blanks();
        }
        let place = self.place();
        let Some((name, _)) = self.line().split_once('=') else {
            return Err(self.bad(format!("this is no variable; {ACCEPTED}")));
        };
        if !is_name(name) {
            let why = if is_name(name.trim_end()) {
                "a blank may not stand before ="
            } else {
                "what stands before = is no name (letters, digits and _, not a digit first)"
            };
            return Err(self.bad(format!("{why}; {ACCEPTED}")));
        }
        let name = name.to_owned();
        self.skip(name.len() + 1);
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.bare()?,
        };
        Ok(Some((place, name, value)))
    }

    /// To the end of the line, without the blanks there.
    fn bare(&mut self) -> Result<String, Bad> {
        let value = self.line().trim_end().to_owned();
        let begins_comment = |at: &usize| *at == 0 || value[..*at].ends_with([' ', '\t']);
        let comment = value
            .match_indices('#')
            .map(|(at, _)| at)
            .find(begins_comment);
        let found = [(comment, COMMENT), (value.find("${"), VARIABLE)];
        match found
            .into_iter()
            .find_map(|(at, message)| Some((at?, message)))
        {
            None => Ok(value),
            Some((at, message)) => {
                self.skip(at);
                Err(self.bad(message))
            }
        }
    }

    /// To the quote that closes, over as many lines as it takes; whatever is wrong before it, the next entry is after it.
    fn quoted(&mut self, quote: char) -> Result<String, Bad> {
        let opened = self.bad("this quote is not closed");
        self.skip(1);
        let mut value = String::new();
        let mut wrong = None;
        loop {
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (None, _) => return Err(opened),
                (Some(closing), _) if closing == quote => break,
                (Some('\\'), Some(escaped @ ('"' | '\\' | '$' | '`'))) if quote == '"' => {
                    value.push(escaped);
                    self.skip(2);
                }
                (Some(other), after) => {
                    match (other, after) {
                        ('\\', _) if quote == '"' => wrong = wrong.or(Some(self.bad(ESCAPE))),
                        ('$', Some('{')) if quote == '"' => {
                            wrong = wrong.or(Some(self.bad(VARIABLE)));
                        }
                        _ => {}
                    }
                    value.push(other);
                    self.skip(other.len_utf8());
                }
            }
        }
        self.skip(1);
        self.skip_blanks();
        let after = match self.line().chars().next() {
            None => None,
            Some('#') => Some(self.bad(COMMENT)),
            Some(_) => Some(self.bad("nothing may follow the closing quote")),
        };
        match wrong.or(after) {
            None => Ok(value),
            Some(wrong) => Err(wrong),
        }
    }

    /// What is left of the line.
    fn line(&self) -> &str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let line = self.line();
        self.skip(line.len() - line.trim_start_matches([' ', '\t']).len());
    }

    /// Goes on by so many bytes.
    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        for c in skipped.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
    }

    fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    fn bad(&self, message: impl Into<String>) -> Bad {
        Bad {
            place: self.place(),
            message: message.into(),
        }
    }
}

const COMMENT: &str = "a # after a value begins a comment for some and is part of the value for others; give the comment a \
                       line of its own, or put the value in quotes";
const VARIABLE: &str = "variables are not replaced in this file; write the value, or put it in single quotes if the dollar \
                        and the brace are part of it";
const ESCAPE: &str = "in double quotes a backslash stands before \", \\, $ and ` only, since others read the rest \
                      differently; a line break is written as one, and in single quotes a backslash is itself";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_every_reader_takes_alike() {
        let cases = [
            ("A=1", "1"),
            ("A=", ""),
            ("A=1\r\nB=2\r\n", "1"),
            ("\u{feff}A=1", "1"),
            ("\n# A=0\n\t# no\nA=1\n", "1"),
            ("  A=1", "1"),
            ("export A=1", "1"),
            ("A= 1 2 ", "1 2"),
            ("A=a=b", "a=b"),
            ("A=pa#ss", "pa#ss"),
            ("A=pa$s", "pa$s"),
            ("A=a\\nb", "a\\nb"),
            ("A=it's", "it's"),
            (r#"A={"a":"b"}"#, r#"{"a":"b"}"#),
            ("A=\"\"", ""),
            ("A=\" a # b \" ", " a # b "),
            ("A=' a \\n ${B} \" '", " a \\n ${B} \" "),
            (r#"A="q\" b\\ d\$ t\` it's""#, "q\" b\\ d$ t` it's"),
            (
                "A='-----BEGIN\n  x\n-----END'\nB=1",
                "-----BEGIN\n  x\n-----END",
            ),
            ("A=\u{e9}", "\u{e9}"),
        ];
        for (text, expected) in cases {
            let variables = parse(text).unwrap_or_else(|bad| panic!("{text}: {bad:?}"));
            assert_eq!(variables["A"], expected, "{text}");
        }
        assert!(parse("").expect("nothing").is_empty());
    }

    #[test]
    fn lines_that_are_refused() {
        let text = "\
A
=hunter2
1A=hunter2
A =hunter2
A-B=hunter2
OK=hunter2
A=hunter2 # why
A='hunter2' # why
A='hunter2'more
A=x${hunter2}
A=\"hun\\ter2

${B}\"
OK=hunter2
A=#hunter2
A='hunter2
B=1
";
        let bad = parse(text).expect_err("all of it");
        let shown: Vec<String> = bad
            .iter()
            .map(|bad| format!("{}:{}: {}", bad.place.0, bad.place.1, bad.message))
            .collect();
        let shown = shown.join("\n");
        assert!(!shown.contains("hunter2"), "{shown}");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn the_process_goes_before_the_file() {
        let of_process = std::env::var("PATH").expect("tests have a PATH");
        let environment = Environment {
            file: parse("PATH=/of/the/file\nHOOKGATE_NOT_SET=s3cr3t").expect("variables"),
        };
        assert_eq!(environment.variable("PATH"), Some(of_process));
        assert_eq!(
            environment.variable("HOOKGATE_NOT_SET").as_deref(),
            Some("s3cr3t")
        );
        assert_eq!(environment.variable("HOOKGATE_NOT_SET_EITHER"), None);
        assert!(!format!("{environment:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_file_that_cant_be_read_is_one_problem() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing.env");
        let problems = Environment::read(Some(&missing)).expect_err("missing");
        let said = format!(
            "{}: the file of variables can't be read: No such file",
            missing.display()
        );
        assert!(problems[0].to_string().starts_with(&said), "{problems:?}");
        let binary = directory.path().join("binary.env");
        std::fs::write(&binary, [b'A', b'=', 0xff]).expect("written");
        let problems = Environment::read(Some(&binary)).expect_err("no text");
        assert!(problems[0].message.contains("UTF-8"), "{problems:?}");
        let large = directory.path().join("large.env");
        std::fs::write(&large, vec![b'#'; 5 << 20]).expect("written");
        let problems = Environment::read(Some(&large)).expect_err("too large");
        assert!(
            problems[0].message.contains("larger than 4MiB"),
            "{problems:?}"
        );
    }
}
