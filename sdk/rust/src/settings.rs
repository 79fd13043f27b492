//! What an administrator tells a balancer.

use std::{collections::BTreeMap, str::FromStr};

use crate::bindings::evenkeel::balancer::settings;

/// A setting that a balancer understands, in section `[balancer NAME]` of the file `load-balancer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// The value that holds where the administrator gives none; none where an absent value means something itself.
    pub default: Option<&'static str>,
    /// What it does, its unit and the values it takes, in a sentence.
    pub help: &'static str,
}

/// The values of the settings: the administrator's, else the declared defaults.
#[derive(Clone, Debug)]
pub struct Settings(Source);

#[derive(Clone, Debug)]
enum Source {
    Host,
    Own(BTreeMap<String, String>),
}

impl Settings {
    /// Those of the balancer that runs.
    pub(crate) fn of_host() -> Self {
        Self(Source::Host)
    }

    /// What holds where the administrator sets nothing, for tests.
    pub fn defaults(declared: &[Setting]) -> Self {
        let defaults =
            declared.iter().filter_map(|setting| Some((setting.key.to_owned(), setting.default?.to_owned()))).collect();
        Self(Source::Own(defaults))
    }

    /// The same with a value that an administrator sets, for tests.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        if let Source::Own(values) = &mut self.0 {
            values.insert(key.to_owned(), value.to_owned());
        }
        self
    }

    /// The value of a setting: the administrator's, else the declared default, else none.
    pub fn get(&self, key: &str) -> Option<String> {
        match &self.0 {
            Source::Host => settings::get(key),
            Source::Own(values) => values.get(key).cloned(),
        }
    }

    /// The value of a setting read as a `T`. `takes` completes the error's sentence: "`key` takes …".
    pub fn parse<T: FromStr>(&self, key: &str, takes: &str) -> Result<Option<T>, String> {
        self.get(key).map(|value| value.parse().map_err(|_| refused(key, takes, &value))).transpose()
    }
}

/// The sentence with which a value is refused.
pub(crate) fn refused(key: &str, takes: &str, value: &str) -> String {
    ["`", key, "` takes ", takes, ", not `", value, "`"].concat()
}

impl Settings {
    /// The sentence with which [`Balancer::new`](crate::Balancer::new) refuses the value that a setting has.
    pub fn refusal(&self, key: &str, takes: &str) -> String {
        refused(key, takes, &self.get(key).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Setting] = &[
        Setting { key: "depth", default: Some("3"), help: "How deep, a number." },
        Setting { key: "zone", default: None, help: "Where." },
    ];

    #[test]
    fn a_default_holds_until_a_value_is_set() {
        let settings = Settings::defaults(DECLARED);
        assert_eq!((settings.get("depth").as_deref(), settings.get("zone")), (Some("3"), None));
        assert_eq!(settings.with("depth", "4").parse::<u32>("depth", "a number"), Ok(Some(4)));
    }

    #[test]
    fn a_bad_value_is_refused_by_name_with_what_it_takes() {
        let settings = Settings::defaults(DECLARED).with("depth", "deep");
        let error = "`depth` takes a number, not `deep`";
        assert_eq!(settings.parse::<u32>("depth", "a number"), Err(error.to_owned()));
        assert_eq!(settings.refusal("depth", "a number"), error);
    }
}
