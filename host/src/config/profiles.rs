//! The file `profiles`: what users may have, under `[*]` for everybody, `[@group]` for a group's members, `[user]` for one
//! user.
//!
//! As in the product whose file it is, it is read from top to bottom: of the sections that match a user, the one that is
//! later in the file holds, setting by setting. What its settings limit is each user's own, over the whole cluster. The
//! names that begin with `total-` are ours: they limit what the members of a group have together, or all users.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    Problem,
    file::{Entry, File},
    reader::{self, Reader},
};
use crate::domain::{
    Allowance, ResourceProfile,
    limit::{Limit, Over, Quantity, thousandths},
};

/// The profiles in force; they can be replaced while the daemon runs.
pub type ProfilesInForce = Arc<ArcSwap<Profiles>>;

/// Processors that count for a session that names none, where they are limited and there is no `default-cpus`.
const USUAL_CPUS: f64 = 1.0;

/// The same for memory, bytes.
const USUAL_MEMORY: u64 = 1 << 30;

/// What `profiles` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles {
    sections: Vec<Section>,
    resources: Vec<ResourceProfile>,
}

#[derive(Clone, Debug, PartialEq)]
struct Section {
    whom: Whom,
    settings: Settings,
}

/// Whom a section is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Everybody,
    Group(String),
    User(String),
}

/// The settings of a section. A limit that is lifted is given without a number.
#[derive(Clone, Debug, Default, PartialEq)]
struct Settings {
    session_limit: Option<Option<u64>>,
    max_cpus: Option<Option<f64>>,
    max_memory: Option<Option<u64>>,
    /// Of one session.
    max_memory_each: Option<Option<u64>>,
    default_cpus: Option<f64>,
    default_memory: Option<u64>,
    /// The names of the resource profiles that may be chosen.
    resource_profiles: Option<Vec<String>>,
    custom_resources: Option<bool>,
    total_sessions: Option<Option<u64>>,
    total_cpus: Option<Option<f64>>,
    total_memory: Option<Option<u64>>,
}

impl Profiles {
    /// Reads the file; `resources` are the resource profiles that there are.
    pub fn read(file: &File, resources: Vec<ResourceProfile>, problems: &mut Vec<Problem>) -> Self {
        let runs = file.entries.chunk_by(|a, b| a.section == b.section);
        let sections = runs.filter_map(|run| Section::read(file, run, problems));
        let profiles = Self { sections: sections.collect(), resources };
        profiles.warn_of_what_names_nothing(file, problems);
        profiles.refuse_unknown_resources(file, problems);
        profiles
    }

    /// What a user in these groups may have.
    pub fn allowance(&self, user: &str, groups: &[String]) -> Allowance {
        let mut merged = Merged::default();
        for section in self.sections.iter().filter(|section| section.whom.has(user, groups)) {
            merged.add(section);
        }
        merged.allowance(&self.resources)
    }

    /// Of these groups, those that a section is about.
    pub fn named(&self, groups: &[String]) -> Vec<String> {
        let is_named = |group: &&String| {
            self.sections.iter().any(|section| matches!(&section.whom, Whom::Group(named) if named == *group))
        };
        groups.iter().filter(is_named).cloned().collect()
    }

    /// Whether anything depends on what groups a user is in.
    pub fn ask_for_groups(&self) -> bool {
        self.sections.iter().any(|section| matches!(section.whom, Whom::Group(_)))
    }

    fn refuse_unknown_resources(&self, file: &File, problems: &mut Vec<Problem>) {
        for entry in file.entries.iter().filter(|entry| entry.name == RESOURCE_PROFILES) {
            let is_unknown = |name: &String| self.resources.iter().all(|profile| profile.name != *name);
            for name in names(&entry.value).unwrap_or_default().iter().filter(|name| is_unknown(name)) {
                let there = self.resources.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "{RESOURCE_PROFILES}: there is no [{name}] in launcher.local.resources.conf; there are: {there}"
                );
                problems.push(Problem::error(&file.path, entry.line, message));
            }
        }
    }

    fn warn_of_what_names_nothing(&self, file: &File, problems: &mut Vec<Problem>) {
        let settings = || self.sections.iter().map(|section| &section.settings);
        let mut warn = |names: [&str; 2], default: &str, counts: String| {
            let is_one = |entry: &&Entry| names.contains(&entry.name.as_str()) && entry.value != UNLIMITED;
            if let Some(entry) = file.entries.iter().find(is_one) {
                let message = format!("{} without {default}: a session that names none has {counts}", entry.name);
                problems.push(Problem::warning(&file.path, entry.line, message));
            }
        };
        if settings().all(|settings| settings.default_cpus.is_none()) {
            warn(["max-cpus", "total-max-cpus"], "default-cpus", format!("{USUAL_CPUS}"));
        }
        if settings().all(|settings| settings.default_memory.is_none() && settings.max_memory_each.is_none()) {
            warn(["max-memory", "total-max-memory"], "default-memory", format!("{} MB", USUAL_MEMORY >> 20));
        }
    }
}

impl Section {
    fn read(file: &File, run: &[Entry], problems: &mut Vec<Problem>) -> Option<Self> {
        let Entry { section, line, .. } = run.first()?;
        let Some(whom) = section.as_deref().and_then(Whom::parse) else {
            let message = "settings stand under [*], [@group] or [user]".to_owned();
            problems.push(Problem::error(&file.path, *line, message));
            return None;
        };
        let own = File { entries: run.to_vec(), ..File::empty(&file.path) };
        let settings = Settings::read(&own, section.as_deref(), &whom, problems);
        file.asked.borrow_mut().extend(own.asked.take().into_iter().filter(|asked| asked.given.is_some()));
        Some(Self { whom, settings })
    }
}

impl Whom {
    fn parse(section: &str) -> Option<Self> {
        match (section, section.strip_prefix('@')) {
            ("*", _) => Some(Self::Everybody),
            ("" | "@", _) => None,
            (_, Some(group)) => Some(Self::Group(group.to_owned())),
            (user, None) => Some(Self::User(user.to_owned())),
        }
    }

    fn has(&self, user: &str, groups: &[String]) -> bool {
        match self {
            Self::Everybody => true,
            Self::Group(group) => groups.contains(group),
            Self::User(name) => name == user,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("[*]"),
            Self::Group(group) => write!(f, "[@{group}]"),
            Self::User(user) => write!(f, "[{user}]"),
        }
    }
}

impl Settings {
    fn read(file: &File, section: Option<&str>, whom: &Whom, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader::new(file, section, problems);
        let mut settings = Self {
            session_limit: reader.take("session-limit", limit(count)),
            max_cpus: reader.take("max-cpus", limit(cpus)),
            max_memory: reader.take("max-memory", limit(megabytes)),
            max_memory_each: reader.take("max-memory-mb", limit(megabytes)),
            default_cpus: reader.take("default-cpus", cpus),
            default_memory: reader.take("default-memory", megabytes),
            resource_profiles: reader.take(RESOURCE_PROFILES, names),
            custom_resources: reader.take("allow-custom-resources", reader::switch),
            ..Self::default()
        };
        if let Whom::User(user) = whom {
            let instead = format!("[{user}] is one user: session-limit, max-cpus and max-memory limit what one has");
            reader.never(&["total-session-limit", "total-max-cpus", "total-max-memory"], &instead);
        } else {
            settings.total_sessions = reader.take("total-session-limit", limit(count));
            settings.total_cpus = reader.take("total-max-cpus", limit(cpus));
            settings.total_memory = reader.take("total-max-memory", limit(megabytes));
        }
        reader.finish();
        settings
    }
}

/// The settings of several sections, the later ones over the earlier.
#[derive(Default)]
struct Merged {
    limits: Vec<Limit>,
    default_cpus: Option<f64>,
    default_memory: Option<u64>,
    resource_profiles: Option<Vec<String>>,
    custom_resources: Option<bool>,
}

impl Merged {
    fn add(&mut self, section: &Section) {
        let Section { whom, settings } = section;
        self.custom_resources = settings.custom_resources.or(self.custom_resources);
        self.resource_profiles = settings.resource_profiles.clone().or(self.resource_profiles.take());
        self.default_cpus = settings.default_cpus.or(self.default_cpus);
        self.default_memory = settings.default_memory.or(self.default_memory);
        let milli = |cpus: Option<Option<f64>>| cpus.map(|most| most.map(thousandths));
        let mut set = |setting, over: Over, quantity, most: Option<Option<u64>>| {
            let Some(most) = most else { return };
            self.limits.retain(|limit| limit.setting != setting || limit.over != over);
            if let Some(most) = most {
                self.limits.push(Limit { setting, section: whom.to_string(), over, quantity, most });
            }
        };
        set("session-limit", Over::User, Quantity::Sessions, settings.session_limit);
        set("max-cpus", Over::User, Quantity::Cpus, milli(settings.max_cpus));
        set("max-memory", Over::User, Quantity::Memory, settings.max_memory);
        set("max-memory-mb", Over::Session, Quantity::Memory, settings.max_memory_each);
        let over = match whom {
            Whom::Group(group) => Over::Group(group.clone()),
            Whom::Everybody | Whom::User(_) => Over::Everybody,
        };
        set("total-session-limit", over.clone(), Quantity::Sessions, settings.total_sessions);
        set("total-max-cpus", over.clone(), Quantity::Cpus, milli(settings.total_cpus));
        set("total-max-memory", over, Quantity::Memory, settings.total_memory);
    }

    fn allowance(self, resources: &[ResourceProfile]) -> Allowance {
        let Self { limits, default_cpus, default_memory, resource_profiles, custom_resources } = self;
        let may_choose =
            |profile: &&ResourceProfile| resource_profiles.as_ref().is_none_or(|names| names.contains(&profile.name));
        let lowest = |quantity| limits.iter().filter(|limit| limit.quantity == quantity).map(|limit| limit.most).min();
        let each = limits.iter().find(|limit| limit.over == Over::Session).map(|limit| limit.most);
        #[expect(clippy::cast_precision_loss, reason = "thousandths of processors, few enough")]
        let most_cpus = lowest(Quantity::Cpus).map(|most| most as f64 / 1000.0);
        let most_memory = lowest(Quantity::Memory);
        // Without one, what names nothing would count as nothing and have everything.
        let cpus = default_cpus.or(most_cpus.map(|_| USUAL_CPUS)).unwrap_or_default();
        let memory = default_memory.or(each).or(most_memory.map(|_| USUAL_MEMORY)).unwrap_or_default();
        Allowance {
            default_cpus: most_cpus.map_or(cpus, |most| cpus.min(most)),
            default_memory: most_memory.map_or(memory, |most| memory.min(most)),
            limits,
            resources: resources.iter().filter(may_choose).cloned().collect(),
            only_resources: custom_resources == Some(false),
        }
    }
}

const UNLIMITED: &str = "unlimited";
const RESOURCE_PROFILES: &str = "resource-profiles";

fn names(value: &str) -> Result<Vec<String>, String> {
    let names: Vec<_> = value.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(|name| !name.is_empty()) { Ok(names) } else { Err("names, separated by commas".to_owned()) }
}

/// A limit, or that there is none.
fn limit<T>(read: fn(&str) -> Result<T, String>) -> impl FnOnce(&str) -> Result<Option<T>, String> {
    move |value| match value {
        UNLIMITED => Ok(None),
        value => read(value).map(Some).map_err(|expected| format!("{expected}, or {UNLIMITED}")),
    }
}

fn count(value: &str) -> Result<u64, String> {
    reader::number(0, u32::MAX)(value).map(u64::from)
}

/// Memory in MB, as bytes.
pub(super) fn megabytes(value: &str) -> Result<u64, String> {
    // A pebibyte, in mebibytes.
    reader::number(1, 1 << 30)(value)
        .map(|megabytes| u64::from(megabytes) << 20)
        .map_err(|expected| format!("{expected} (MB)"))
}

/// Processors.
pub(super) fn cpus(value: &str) -> Result<f64, String> {
    reader::decimal(0.001, 65_536.0)(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> (Profiles, Vec<String>) {
        let mut problems = Vec::new();
        let file = File::parse(Path::new("profiles"), text, &mut problems);
        let resources = [("small", 0.5), ("large", 8.0)].map(|(name, cpus)| {
            let (name, title) = (name.to_owned(), name.to_owned());
            ResourceProfile { name, title, cpus, memory: 1 << 30 }
        });
        let profiles = Profiles::read(&file, resources.to_vec(), &mut problems);
        (profiles, problems.iter().map(ToString::to_string).collect())
    }

    /// `setting=most section` of each limit of a user.
    fn limits(profiles: &Profiles, user: &str, groups: &[&str]) -> Vec<String> {
        let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
        let limits = profiles.allowance(user, &groups).limits;
        limits.iter().map(|limit| format!("{}={} {}", limit.setting, limit.most, limit.section)).collect()
    }

    #[test]
    fn of_the_sections_that_match_the_later_in_the_file_holds_setting_by_setting() {
        let (profiles, problems) = read(
            "[ada]\nsession-limit=9\n[*]\nsession-limit=3\nmax-cpus=8\ndefault-cpus=1\n[@staff]\nsession-limit = 5\n\
             [bob]\nmax-cpus=0.5\n",
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(limits(&profiles, "eve", &[]), ["session-limit=3 [*]", "max-cpus=8000 [*]"]);
        assert_eq!(limits(&profiles, "ada", &["users"]), ["session-limit=3 [*]", "max-cpus=8000 [*]"]);
        assert_eq!(limits(&profiles, "ada", &["users", "staff"]), ["max-cpus=8000 [*]", "session-limit=5 [@staff]"]);
        assert_eq!(limits(&profiles, "bob", &["staff"]), ["session-limit=5 [@staff]", "max-cpus=500 [bob]"]);
    }

    #[test]
    fn a_limit_can_be_lifted_again() {
        let (profiles, problems) =
            read("[*]\nsession-limit=3\ntotal-session-limit=9\n[@staff]\nsession-limit=unlimited\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(limits(&profiles, "ada", &["staff"]), ["total-session-limit=9 [*]"]);
    }

    #[test]
    fn totals_of_groups_hold_beside_each_other_and_those_of_all() {
        let (profiles, problems) = read(
            "[*]\ntotal-max-memory=4096\ndefault-memory=256\n[@a]\ntotal-session-limit=2\n[@b]\ntotal-session-limit=4\n",
        );
        assert_eq!(problems, [""; 0]);
        let groups = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let overs: Vec<_> = profiles.allowance("ada", &groups).limits.into_iter().map(|limit| limit.over).collect();
        assert_eq!(overs, [Over::Everybody, Over::Group("a".to_owned()), Over::Group("b".to_owned())]);
        assert_eq!(profiles.named(&groups), ["a", "b"]);
        assert!(profiles.ask_for_groups() && !read("[*]\nsession-limit=1\n").0.ask_for_groups());
    }

    #[test]
    fn a_session_that_names_nothing_has_what_is_usual_where_something_is_limited() {
        let of = |text: &str| {
            let Allowance { default_cpus, default_memory, .. } = read(text).0.allowance("ada", &[]);
            (default_cpus, default_memory >> 20)
        };
        assert_eq!(of("[*]\nsession-limit=3\n"), (0.0, 0));
        assert_eq!(of("[*]\nmax-cpus=8\nmax-memory=16384\n"), (1.0, 1024));
        assert_eq!(of("[*]\nmax-cpus=0.5\nmax-memory=512\n"), (0.5, 512));
        assert_eq!(of("[*]\nmax-cpus=8\ndefault-cpus=2\ndefault-memory=64\n"), (2.0, 64));
        // The legacy limit of each session is what a session has.
        assert_eq!(of("[*]\nmax-memory-mb=2048\n"), (0.0, 2048));
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let (_, problems) = read(
            "session-limit=1\n[*]\nsession-limit=many\nmax-cpus=0\nmax-memory=1.5\nsession-limits=2\n[@]\nmax-cpus=1\n\
             [ada]\ntotal-max-cpus=3\nnice=5\n",
        );
        assert_eq!(
            problems,
            [
                "profiles:1: settings stand under [*], [@group] or [user]",
                "profiles:3: session-limit: expected a whole number from 0 to 4294967295, or unlimited, found `many`",
                "profiles:4: max-cpus: expected a number from 0.001 to 65536, or unlimited, found `0`",
                "profiles:5: max-memory: expected a whole number from 1 to 1073741824 (MB), or unlimited, found `1.5`",
                "profiles:6: there is no setting session-limits; did you mean session-limit?",
                "profiles:8: settings stand under [*], [@group] or [user]",
                "profiles:10: total-max-cpus has no place here: [ada] is one user: session-limit, max-cpus and max-memory \
                 limit what one has",
                "profiles:11: nice has no effect here: cpus, which a control group enforces, bounds the processors of a session",
                "profiles:4: max-cpus without default-cpus: a session that names none has 1",
                "profiles:5: max-memory without default-memory: a session that names none has 1024 MB",
            ]
        );
    }

    #[test]
    fn resource_profiles_are_those_that_a_user_may_choose() {
        let (profiles, problems) =
            read("[*]\nallow-custom-resources=0\nresource-profiles=small\n[@lab]\nresource-profiles=large, small\n");
        assert_eq!(problems, [""; 0]);
        let of = |groups: &[String]| {
            let Allowance { resources, only_resources, .. } = profiles.allowance("ada", groups);
            (resources.into_iter().map(|profile| profile.name).collect::<Vec<_>>(), only_resources)
        };
        assert_eq!(of(&[]), (vec!["small".to_owned()], true));
        assert_eq!(of(&["lab".to_owned()]).0, ["small", "large"]);
        assert_eq!(read("").0.allowance("ada", &[]).resources.len(), 2);
        let (_, problems) = read("[*]\nresource-profiles=small,huge\n");
        let told = "profiles:2: resource-profiles: there is no [huge] in launcher.local.resources.conf; there are: small, large";
        assert_eq!(problems, [told]);
    }
}
