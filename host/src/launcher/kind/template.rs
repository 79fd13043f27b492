//! Texts of a kind with places for what differs from session to session: `--port={port}`.

use std::fmt;

/// What can stand between braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The session's id.
    Id,
    /// The Unix user.
    User,
    /// The user's home directory.
    Home,
    /// `/s/<id>/`, with both slashes.
    BasePath,
    /// The Unix socket to listen on.
    Socket,
    /// The port of 127.0.0.1 to listen on.
    Port,
    /// The session's own secret.
    Secret,
    /// A directory of the session's own, on this machine, gone with it.
    RuntimeDir,
}

impl Variable {
    const ALL: [Self; 8] =
        [Self::Id, Self::User, Self::Home, Self::BasePath, Self::Socket, Self::Port, Self::Secret, Self::RuntimeDir];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::User => "user",
            Self::Home => "home",
            Self::BasePath => "base_path",
            Self::Socket => "socket",
            Self::Port => "port",
            Self::Secret => "secret",
            Self::RuntimeDir => "runtime_dir",
        }
    }
}

/// What the variables of one session stand for.
pub struct Values {
    /// `{id}`
    pub id: String,
    /// `{user}`
    pub user: String,
    /// `{home}`
    pub home: String,
    /// `{base_path}`
    pub base_path: String,
    /// `{socket}`
    pub socket: String,
    /// `{port}`
    pub port: String,
    /// `{secret}`
    pub secret: String,
    /// `{runtime_dir}`
    pub runtime_dir: String,
}

impl Values {
    fn get(&self, variable: Variable) -> &str {
        match variable {
            Variable::Id => &self.id,
            Variable::User => &self.user,
            Variable::Home => &self.home,
            Variable::BasePath => &self.base_path,
            Variable::Socket => &self.socket,
            Variable::Port => &self.port,
            Variable::Secret => &self.secret,
            Variable::RuntimeDir => &self.runtime_dir,
        }
    }
}

impl fmt::Debug for Values {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A text with variables between braces; `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

impl Template {
    /// Reads a text, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("a null character can be in no argument, variable or header".to_owned());
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some((name, after)) = from.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
                let variable = Variable::ALL.into_iter().find(|variable| variable.name() == name).ok_or_else(|| {
                    let known = Variable::ALL.map(|variable| format!("{{{}}}", variable.name())).join(" ");
                    format!("unknown variable {{{name}}}; there are {known}, and {{{{ for a brace")
                })?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Variable(variable));
                rest = after;
            } else {
                return Err("a brace without its other half; write {{ or }} for a brace".to_owned());
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// A text as it is.
    pub fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// One variable and nothing else.
    pub fn variable(variable: Variable) -> Self {
        Self(vec![Piece::Variable(variable)])
    }

    /// Whether it has this variable.
    pub fn uses(&self, variable: Variable) -> bool {
        self.0.contains(&Piece::Variable(variable))
    }

    /// A variable that it has beside `{base_path}`.
    pub fn other_than_base_path(&self) -> Option<&'static str> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Variable(variable) if *variable != Variable::BasePath => Some(variable.name()),
            _ => None,
        })
    }

    /// The text for a session of which only the prefix matters.
    pub fn render_base_path(&self, base_path: &str) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Variable(_) => base_path,
            })
            .collect()
    }

    /// The text for one session.
    pub fn render(&self, values: &Values) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Variable(variable) => values.get(*variable),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            id: "abcdefgh".into(),
            user: "ada".into(),
            home: "/home/ada".into(),
            base_path: "/s/abcdefgh/".into(),
            socket: "/run/x/program.sock".into(),
            port: "4000".into(),
            secret: "{id}".into(),
            runtime_dir: "/run/x".into(),
        }
    }

    #[test]
    fn variables_are_filled_in_once_and_doubled_braces_stay() {
        let template = Template::parse("{{{id}}}:{user}{home}{secret}").unwrap();
        assert_eq!(template.render(&values()), "{abcdefgh}:ada/home/ada{id}");
        assert!(template.uses(Variable::Secret) && !template.uses(Variable::Port));
        assert_eq!(Template::parse("").unwrap().render(&values()), "");
    }

    #[test]
    fn unknown_variables_and_lone_braces_are_errors() {
        let error = Template::parse("--port={prot}").unwrap_err();
        assert!(error.contains("{prot}") && error.contains("{port}"), "{error}");
        for text in ["{", "}", "{id", "id}", "{{id}", "a\0b"] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_output_does_not_show_the_secret() {
        let values = Values { secret: "hunter2".into(), ..values() };
        assert!(!format!("{values:?}").contains("hunter2"));
    }
}
