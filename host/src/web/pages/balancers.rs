//! What people are told of balancers that do not decide as they should. Why is for administrators: `evenkeel plugin list`
//! says it, and it may be a module's own words.

use crate::balancer::plugins::{Report, State};

/// A sentence for each thing that is wrong with the balancer that is to decide on this node, the first of the reports.
/// Nobody but administrators depends on the others.
pub(super) fn troubles(reports: &[Report]) -> Vec<String> {
    let Some(selected) = reports.first() else { return Vec::new() };
    let stand_in = reports.iter().find(|report| report.state == State::StandingIn && report.path.is_none());
    let instead = |name: &str| match stand_in {
        Some(other) if other.name != name => format!("; {} decides in its place", other.name),
        _ => String::new(),
    };
    let trouble = |report: &Report| {
        let name = &report.name;
        match report.state {
            State::SetAside => Some(format!("balancer {name} failed too often and is set aside{}", instead(name))),
            State::Missing => Some(format!("balancer {name} is missing{}", instead(name))),
            State::Refused => Some(format!("the new file of balancer {name} is not taken")),
            State::StandingIn if report.path.is_some() => {
                Some(format!("the last good module of balancer {name} stands in for its file"))
            }
            State::Active if report.count.failing => Some(format!("balancer {name} fails{}", instead(name))),
            State::Active | State::StandingIn | State::Ready | State::Shadow | State::Available => None,
        }
    };
    reports.iter().filter(|report| report.name == selected.name).filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::{plugins::Source, tally::Count};

    fn report(name: &str, state: State) -> Report {
        Report {
            name: name.to_owned(),
            contract: None,
            digest: None,
            source: Some(Source::Builtin),
            path: None,
            state,
            since: None,
            last_error: Some("<module's own words>".to_owned()),
            warnings: Vec::new(),
            count: Count::default(),
        }
    }

    fn failing(name: &str) -> Report {
        Report { count: Count { failing: true, ..Count::default() }, ..report(name, State::Active) }
    }

    #[test]
    fn each_trouble_is_a_sentence_without_its_reason() {
        let of = |reports: &[Report]| troubles(reports).join(" | ");
        let other = || report("sessions", State::StandingIn);
        assert_eq!(of(&[report("mine", State::Active), report("sessions", State::Ready)]), "");
        assert_eq!(of(&[failing("mine"), other()]), "balancer mine fails; sessions decides in its place");
        assert_eq!(of(&[failing("sessions"), other()]), "balancer sessions fails", "it stands in for itself");
        let aside = "balancer mine failed too often and is set aside; sessions decides in its place";
        assert_eq!(of(&[report("mine", State::SetAside), other()]), aside);
        assert_eq!(of(&[report("mine", State::Missing)]), "balancer mine is missing");
        let kept = Report { path: Some("/kept".into()), ..report("mine", State::StandingIn) };
        assert_eq!(
            of(&[kept, report("mine", State::Refused)]),
            "the last good module of balancer mine stands in for its file | the new file of balancer mine is not taken"
        );
        assert_eq!(of(&[report("mine", State::Active), report("next", State::Missing)]), "", "that is a shadow");
        assert_eq!(of(&[]), "");
    }
}
