//! Asking people, and reading secrets from where a script put them.

use std::io::{BufRead, IsTerminal, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Outcome};

/// A secret: the first line of `file` (`-` is standard input), or asked for at the terminal without showing it.
pub(crate) fn secret(prompt: &str, file: Option<&Path>, option: &str) -> Outcome<Zeroizing<String>> {
    let Some(path) = file else {
        return rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|_| {
            Failure::usage(format!(
                "there is no terminal to ask at ({})",
                prompt.trim_end_matches([':', ' '])
            ))
            .next(format!("give it with {option}"))
        });
    };
    let line = if path == Path::new("-") {
        first_line(std::io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(|file| first_line(std::io::BufReader::new(file)))
    };
    let line = line.map_err(|e| Failure::file(path, &e))?;
    if line.is_empty() {
        return Err(Failure::usage(format!("{}: its first line is empty", path.display())));
    }
    Ok(line)
}

fn first_line(reader: impl BufRead) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    reader.take(4096).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// Asks for a line at the terminal; an empty one is `otherwise`, if there is that.
pub(crate) fn line(what: &str, otherwise: Option<&str>, option: &str) -> Outcome<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask at ({what})"))
            .next(format!("give it with {option}")));
    }
    let shown = otherwise.map(|text| format!(" [{}]", crate::show::safe(text))).unwrap_or_default();
    eprint!("{what}{shown}: ");
    let mut answer = String::new();
    let read = stdin.lock().take(4096).read_line(&mut answer);
    read.map_err(|e| Failure::new(Exit::Refused, format!("the answer cannot be read: {e}")))?;
    match (answer.trim(), otherwise) {
        ("", Some(otherwise)) => Ok(otherwise.to_owned()),
        ("", None) => {
            Err(Failure::usage(format!("{what}: nothing was said")).next(format!("give it with {option}")))
        }
        (said, _) => Ok(said.to_owned()),
    }
}

/// Asks for a yes. Nothing but `yes` or `y` is one.
pub(crate) fn confirm(question: &str) -> Outcome {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("there is no terminal to ask at").next("read the terms, then give --yes"));
    }
    crate::output::note(&format!("{question} [yes/no]"));
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Failure::new(Exit::Refused, format!("the answer cannot be read: {e}")))?;
    if matches!(answer.trim(), "yes" | "y") {
        Ok(())
    } else {
        Err(Failure::new(Exit::Refused, "nothing was done"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_is_the_secret() {
        assert_eq!(first_line(&b"pass word \r\nmore\n"[..]).unwrap().as_str(), "pass word ");
        assert_eq!(first_line(&b"no newline"[..]).unwrap().as_str(), "no newline");
    }

    #[test]
    fn an_empty_secret_is_a_usage_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(secret("Password: ", Some(file.path()), "--password-file").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = secret("Password: ", Some(Path::new("/nowhere/x")), "--password-file").unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.message.starts_with("/nowhere/x: "), "{}", failure.message);
    }
}
