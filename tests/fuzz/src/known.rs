//! A mistake of somebody else's that a daemon is safe from and a fuzzer is not.

use std::collections::BTreeSet;

use wasmparser::{
    ComponentType, ComponentTypeDeclaration as Declaration, InstanceTypeDeclaration as Member, Parser, Payload,
};

/// Whether the component types of a module name more than one package. Where two need each other, wit-parser (0.254, and
/// 0.263 too) follows them until its stack is used up: in a daemon that is a child's, and the module is refused, as the
/// fixture `package-cycle` shows. Here it would be the end, and nothing but wit-parser could tell which do.
pub(crate) fn names_packages(bytes: &[u8]) -> bool {
    let mut packages = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                collect(section.data(), &mut packages);
            }
            _ => {}
        }
    }
    packages.len() > 1
}

fn collect(component: &[u8], packages: &mut BTreeSet<String>) {
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        if let Payload::ComponentTypeSection(types) = payload {
            types.into_iter().map_while(Result::ok).for_each(|declared| names(&declared, packages));
        }
    }
}

fn names(declared: &ComponentType<'_>, packages: &mut BTreeSet<String>) {
    match declared {
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                match declaration {
                    Declaration::Type(inner) => names(inner, packages),
                    Declaration::Export { name, .. } => packages.extend(package(name.name)),
                    Declaration::Import(import) => packages.extend(package(import.name.name)),
                    Declaration::CoreType(_) | Declaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Instance(members) => {
            for member in members {
                if let Member::Type(inner) = member {
                    names(inner, packages);
                }
            }
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => {}
    }
}

/// `evenkeel:balancer@1.0.0` of `evenkeel:balancer/nodes@1.0.0`.
fn package(name: &str) -> Option<String> {
    let (package, rest) = name.split_once('/')?;
    let version = rest.split_once('@').map_or("", |(_, version)| version);
    Some(format!("{package}@{version}"))
}

#[cfg(test)]
mod tests {
    use evenkeel_fixtures::Fixture;

    use super::names_packages;

    #[test]
    fn modules_that_name_packages_beside_the_contract_are_found_and_no_others() {
        for fixture in Fixture::ALL {
            let bytes = fixture.bytes();
            let names = fixture == Fixture::PackageCycle || bytes.windows(5).any(|bytes| bytes == b"wasi:");
            assert_eq!(names_packages(&bytes), names, "{}", fixture.name());
        }
    }
}
