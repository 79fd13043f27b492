//! The file `launcher.local.resources.conf`: resource profiles, by which users choose processors and memory together.

use super::{
    Problem,
    file::File,
    profiles::{cpus, megabytes},
    reader::{self, Reader},
};
use crate::domain::ResourceProfile;

/// Its name.
pub(super) const FILE: &str = "launcher.local.resources.conf";

/// The profiles in the order of the file.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> Vec<ResourceProfile> {
    let mut profiles: Vec<ResourceProfile> = Vec::new();
    for entry in &file.entries {
        let Some(name) = entry.section.as_deref().filter(|name| is_name(name)) else {
            let message = "settings stand under [NAME], of letters, digits, dots, hyphens and underscores".to_owned();
            problems.push(Problem::error(&file.path, entry.line, message));
            continue;
        };
        if profiles.iter().all(|known| known.name != name) {
            profiles.push(profile(file, name, problems));
        }
    }
    profiles
}

fn profile(file: &File, name: &str, problems: &mut Vec<Problem>) -> ResourceProfile {
    let mut reader = Reader::new(file, Some(name), problems);
    let profile = ResourceProfile {
        name: name.to_owned(),
        title: reader.take("name", reader::text).unwrap_or_else(|| name.to_owned()),
        cpus: reader.take("cpus", cpus).unwrap_or_default(),
        memory: reader.take("mem-mb", megabytes).unwrap_or_default(),
    };
    reader.finish();
    profile
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn profiles_are_read_in_their_order_and_what_is_wrong_is_told() {
        let mut problems = Vec::new();
        let text = "cpus=1\n[small]\nname = Small one\ncpus=0.5\nmem-mb=512\n[large]\ncpus=8\nmem=3\n[a b]\ncpus=1\n";
        let file = File::parse(Path::new("launcher.local.resources.conf"), text, &mut problems);
        let profiles = read(&file, &mut problems);
        let profile = |name: &str, title: &str, cpus, memory| {
            let (name, title) = (name.to_owned(), title.to_owned());
            ResourceProfile { name, title, cpus, memory }
        };
        assert_eq!(profiles, [profile("small", "Small one", 0.5, 512 << 20), profile("large", "large", 8.0, 0)]);
        let place = "settings stand under [NAME], of letters, digits, dots, hyphens and underscores";
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                format!("launcher.local.resources.conf:1: {place}"),
                "launcher.local.resources.conf:8: there is no setting mem; did you mean mem-mb?".to_owned(),
                format!("launcher.local.resources.conf:10: {place}"),
            ]
        );
    }
}
