//! The file of a kind: reading it, and saying which field of which line is wrong.

use std::{collections::BTreeMap, io::Read, ops::Range, path::Path, str::FromStr, time::Duration};

use http::HeaderName;
use nix::sys::signal::Signal;
use serde::Deserialize;
use toml::Spanned;

use super::{
    ActivityRules, BasePath, Kind, KindError, KindErrors, Listen, Ready, Stop, Suspend, Template, Variable,
    activity::RawActivity,
};
use crate::launcher::record::is_reserved;

/// Longer files are no descriptions of kinds.
const MOST_BYTES: u64 = 64 * 1024;
const MOST_FILES: usize = 16;
const READY_SECONDS: u64 = 120;
const GRACE_SECONDS: u64 = 10;
/// More than a day of waiting is a typing error.
const MOST_SECONDS: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    name: Spanned<String>,
    title: Spanned<String>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    program: Option<Spanned<String>>,
    #[serde(default)]
    search: Vec<Spanned<String>>,
    #[serde(default)]
    arguments: Vec<Spanned<String>>,
    #[serde(default)]
    environment: BTreeMap<String, Spanned<String>>,
    directory: Option<Spanned<String>>,
    listen: Spanned<Listen>,
    base_path: Option<Spanned<BasePath>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    ready: Option<Spanned<RawReady>>,
    #[serde(default)]
    stop: RawStop,
    suspend: Suspend,
    #[serde(default)]
    activity: RawActivity,
    #[serde(default)]
    files: BTreeMap<String, Spanned<String>>,
    version: Option<RawVersion>,
    #[serde(default)]
    untested: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawVersion {
    arguments: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawReady {
    path: Spanned<String>,
    #[serde(default)]
    statuses: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    seconds: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStop {
    signal: Option<Spanned<String>>,
    grace_seconds: Option<Spanned<u64>>,
    suspend_signal: Option<Spanned<String>>,
    suspended_status: Option<Spanned<i32>>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Kind, KindErrors> {
    let mut text = String::new();
    let result = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    let problem = match result {
        Ok(length) if length as u64 > MOST_BYTES => format!("is longer than {MOST_BYTES} bytes"),
        Ok(_) => return parse(path, &text),
        Err(error) => error.to_string(),
    };
    Err(KindErrors(vec![KindError { file: path.to_owned(), line: None, field: None, problem }]))
}

/// Reads a text; `file` is for the errors.
pub(super) fn parse(file: &Path, text: &str) -> Result<Kind, KindErrors> {
    let mut reader = Reader { file, text, errors: Vec::new() };
    let raw = match toml::from_str::<Raw>(text) {
        Ok(raw) => raw,
        Err(error) => {
            reader.error(error.span().unwrap_or(0..0), error.message().to_owned());
            return Err(KindErrors(reader.errors));
        }
    };
    let kind = reader.kind(raw);
    if reader.errors.is_empty() { Ok(kind) } else { Err(KindErrors(reader.errors)) }
}

pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    errors: Vec<KindError>,
}

impl Reader<'_> {
    fn kind(&mut self, raw: Raw) -> Kind {
        self.name(&raw.name);
        if raw.title.get_ref().trim().is_empty() {
            self.error(raw.title.span(), "must not be empty".to_owned());
        }
        for directory in &raw.search {
            if !directory.get_ref().starts_with('/') || directory.get_ref().contains([':', '\0']) {
                self.error(directory.span(), "must be absolute paths, without a colon".to_owned());
            }
        }
        let listen = *raw.listen.get_ref();
        self.suits_listening(&raw);
        let labels = raw.labels.into_iter().map(|(key, value)| self.label(key, value)).collect();
        if let Some(program) = &raw.program {
            self.program(program);
        }
        let arguments: Vec<Template> = raw
            .arguments
            .iter()
            .map(|text| self.public(text, listen, "a command line can be read by everybody on the machine"))
            .collect();
        let environment: BTreeMap<String, Template> = raw
            .environment
            .into_iter()
            .map(|(name, text)| (self.variable(name, &text), self.template(&text, listen)))
            .collect();
        let headers = raw.headers.iter().filter_map(|(name, text)| self.header(name, text, listen)).collect();
        // What a job does, it does by itself.
        let activity = self.activity(raw.activity, listen);
        let activity = ActivityRules { never_idle: activity.never_idle || listen == Listen::Nothing, ..activity };
        let files = self.files(&raw.files, listen);
        let version = raw.version.as_ref().map(|version| self.version(version, listen));
        let place = match listen {
            Listen::Unix => Some(Variable::Socket),
            Listen::Port => Some(Variable::Port),
            Listen::Nothing => None,
        };
        if let Some(place) = place
            && !arguments.iter().chain(environment.values()).any(|template| template.uses(place))
        {
            let problem = format!(
                "the program is not told where to listen: put {{{}}} into an argument or an environment variable",
                place.name()
            );
            self.error(raw.listen.span(), problem);
        }
        Kind {
            directory: raw.directory.map_or_else(
                || Template::variable(Variable::Home),
                |text| self.public(&text, listen, "a directory is no place for a secret"),
            ),
            ready: raw.ready.map(|ready| self.ready(ready.get_ref(), listen)),
            stop: self.stop(&raw.stop),
            name: raw.name.into_inner(),
            title: raw.title.into_inner(),
            labels,
            program: raw.program.map(Spanned::into_inner).unwrap_or_default(),
            search: raw.search.into_iter().map(|path| path.into_inner().into()).collect(),
            arguments,
            environment,
            listen,
            base_path: raw.base_path.map_or(BasePath::Kept, Spanned::into_inner),
            headers,
            suspend: raw.suspend,
            activity,
            files,
            version,
            untested: raw.untested,
        }
    }

    /// What a service must say, and a job cannot.
    fn suits_listening(&mut self, raw: &Raw) {
        let fields = [
            ("program", raw.program.as_ref().map(Spanned::span)),
            ("base-path", raw.base_path.as_ref().map(Spanned::span)),
            ("ready", raw.ready.as_ref().map(Spanned::span)),
        ];
        let listens = *raw.listen.get_ref() != Listen::Nothing;
        for (name, span) in fields {
            match span {
                None if listens => {
                    self.error(raw.listen.span(), format!("{name} is missing: it says where it listens"));
                }
                Some(span) if !listens => {
                    self.error(
                        span,
                        format!("there is no {name} where listen = \"nothing\": each session says what it runs"),
                    );
                }
                _ => {}
            }
        }
        if !listens && let Some(argument) = raw.arguments.first() {
            self.error(argument.span(), "there are no arguments where listen = \"nothing\"".to_owned());
        }
        if !listens && let Some(header) = raw.headers.values().next() {
            self.error(header.span(), "there are no headers where listen = \"nothing\"".to_owned());
        }
    }

    fn program(&mut self, program: &Spanned<String>) {
        let text = program.get_ref();
        if text.is_empty() || text.contains('\0') || (text.contains('/') && !text.starts_with('/')) {
            self.error(program.span(), "must be a name to be looked for on PATH, or an absolute path".to_owned());
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let text = name.get_ref();
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            self.error(name.span(), "must be 1 to 64 characters of a-z, 0-9 and -".to_owned());
        }
    }

    /// A label as a node can have it.
    fn label(&mut self, key: String, value: Spanned<String>) -> (String, String) {
        let is_odd = |text: &str| text.trim() != text || text.is_empty() || text.chars().any(char::is_control);
        if is_odd(&key) || key.contains('=') || is_odd(value.get_ref()) {
            let problem = "is no label: a node has node-label-KEY=VALUE, neither of them empty".to_owned();
            self.error(value.span(), problem);
        }
        (key, value.into_inner())
    }

    fn ready(&mut self, raw: &RawReady, listen: Listen) -> Ready {
        if !raw.path.get_ref().starts_with('/') && !raw.path.get_ref().starts_with("{base_path}") {
            self.error(raw.path.span(), "must start with / or {base_path}".to_owned());
        }
        let statuses = raw.statuses.as_ref().map_or_else(|| vec![200], |statuses| statuses.get_ref().clone());
        if let Some(raw) = &raw.statuses
            && (statuses.is_empty() || statuses.iter().any(|status| !(200..600).contains(status)))
        {
            self.error(raw.span(), "must be HTTP statuses, each from 200 to 599".to_owned());
        }
        Ready {
            path: self.public(&raw.path, listen, "a request target is written to logs"),
            statuses,
            limit: self.seconds(raw.seconds.as_ref(), READY_SECONDS),
        }
    }

    fn stop(&mut self, raw: &RawStop) -> Stop {
        if let Some(status) = &raw.suspended_status
            && !(1..256).contains(status.get_ref())
        {
            self.error(status.span(), "must be a status from 1 to 255: 0 is that of a session that is over".to_owned());
        }
        Stop {
            signal: raw.signal.as_ref().and_then(|text| self.signal(text)).unwrap_or(Signal::SIGTERM),
            grace: self.seconds(raw.grace_seconds.as_ref(), GRACE_SECONDS),
            suspend_signal: raw.suspend_signal.as_ref().and_then(|text| self.signal(text)),
            suspended_status: raw.suspended_status.as_ref().map(|status| *status.get_ref()),
        }
    }

    fn signal(&mut self, text: &Spanned<String>) -> Option<Signal> {
        let signal = Signal::from_str(text.get_ref()).ok();
        if signal.is_none() {
            self.error(text.span(), format!("{} is no signal; SIGTERM, SIGINT, … are", text.get_ref()));
        }
        signal
    }

    fn seconds(&mut self, raw: Option<&Spanned<u64>>, usual: u64) -> Duration {
        if let Some(raw) = raw
            && *raw.get_ref() > MOST_SECONDS
        {
            self.error(raw.span(), format!("must be at most {MOST_SECONDS} seconds"));
        }
        Duration::from_secs(raw.map_or(usual, |raw| *raw.get_ref()))
    }

    fn template(&mut self, text: &Spanned<String>, listen: Listen) -> Template {
        match Template::parse(text.get_ref()) {
            Ok(template) => {
                let (others, here) = match listen {
                    Listen::Unix => ([Variable::Port, Variable::Port], "unix"),
                    Listen::Port => ([Variable::Socket, Variable::Socket], "port"),
                    Listen::Nothing => ([Variable::Socket, Variable::Port], "nothing"),
                };
                if let Some(other) = others.into_iter().find(|other| template.uses(*other)) {
                    self.error(text.span(), format!("there is no {{{}}} where listen = \"{here}\"", other.name()));
                }
                template
            }
            Err(problem) => {
                self.error(text.span(), problem);
                Template::default()
            }
        }
    }

    /// A template of a text that others can read.
    pub(super) fn public(&mut self, text: &Spanned<String>, listen: Listen, why: &str) -> Template {
        let template = self.template(text, listen);
        if template.uses(Variable::Secret) {
            self.error(
                text.span(),
                format!("{{secret}} may stand in [environment], [headers] and [files] only: {why}"),
            );
        }
        template
    }

    fn variable(&mut self, name: String, text: &Spanned<String>) -> String {
        if name.is_empty() || name.contains(['=', '\0']) {
            self.error(text.span(), "is no name for an environment variable".to_owned());
        }
        name
    }

    fn files(&mut self, raw: &BTreeMap<String, Spanned<String>>, listen: Listen) -> BTreeMap<String, Template> {
        if let Some(text) = raw.values().nth(MOST_FILES) {
            self.error(text.span(), format!("must be at most {MOST_FILES} files"));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let made = raw.iter().map(|(name, text)| {
            if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(fits) {
                self.error(
                    text.span(),
                    "must be named by 1 to 64 letters, digits, dots, hyphens and underscores, and not begin with a dot"
                        .to_owned(),
                );
            } else if is_reserved(name) {
                self.error(text.span(), format!("{name} is a file of the server's own"));
            }
            (name.clone(), self.template(text, listen))
        });
        made.collect()
    }

    /// Arguments without variables: no session is there when a version is asked for.
    fn version(&mut self, raw: &RawVersion, listen: Listen) -> Vec<String> {
        if listen == Listen::Nothing
            && let Some(argument) = raw.arguments.first()
        {
            self.error(argument.span(), "there is no program to be asked where listen = \"nothing\"".to_owned());
        }
        if let Some(argument) = raw.arguments.iter().find(|argument| argument.get_ref().contains('\0')) {
            self.error(argument.span(), "a null character can be in no argument".to_owned());
        }
        raw.arguments.iter().map(|argument| argument.get_ref().clone()).collect()
    }

    fn header(&mut self, name: &str, text: &Spanned<String>, listen: Listen) -> Option<(HeaderName, Template)> {
        let template = self.template(text, listen);
        if !text.get_ref().bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.error(text.span(), "must be printable ASCII".to_owned());
        }
        match HeaderName::from_str(name) {
            Ok(name) => Some((name, template)),
            Err(_) => {
                self.error(text.span(), "is no name for a header".to_owned());
                None
            }
        }
    }

    pub(super) fn error(&mut self, span: Range<usize>, problem: String) {
        let before = self.text.get(..span.start).unwrap_or_default();
        self.errors.push(KindError {
            file: self.file.to_owned(),
            line: Some(before.matches('\n').count() + 1),
            field: toml::de::DeTable::parse(self.text)
                .ok()
                .map(|table| field_at(table.get_ref(), &span))
                .filter(|field| !field.is_empty()),
            problem,
        });
    }
}

/// The dotted name of the field at a place of the text.
fn field_at(table: &toml::de::DeTable<'_>, span: &Range<usize>) -> String {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        let in_table = |value: &toml::de::DeValue<'_>| match value {
            toml::de::DeValue::Table(table) => field_at(table, span),
            _ => String::new(),
        };
        let below = match value.get_ref() {
            toml::de::DeValue::Array(items) => {
                items.iter().map(|item| in_table(item.get_ref())).find(|field| !field.is_empty()).unwrap_or_default()
            }
            value => in_table(value),
        };
        if !below.is_empty() {
            return format!("{}.{below}", key.get_ref());
        }
        if holds(key.span()) || holds(value.span()) {
            return key.get_ref().to_string();
        }
    }
    String::new()
}
