//! The guest's side of the contract: what the host calls.

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, ComponentType, Instance, Lift},
};

use super::{LoadError, guest::Guest};

/// A setting that a balancer declares.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// What holds where nothing is configured.
    pub default: Option<String>,
    /// What it does.
    pub help: String,
}

/// Why a guest chooses no node.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum GuestRefusal {
    #[component(name = "declined")]
    Declined(String),
    #[component(name = "failed")]
    Failed(String),
}

/// Where a component's functions are.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    settings: ComponentExportIndex,
    check: ComponentExportIndex,
    rank: ComponentExportIndex,
}

impl Policy {
    /// Finds them in the export of this name.
    pub(super) fn find(component: &Component, export: &str) -> Result<Self, LoadError> {
        let policy = component.get_export_index(None, export).ok_or(LoadError::NoPolicy)?;
        let find = |name: &str| {
            component
                .get_export_index(Some(&policy), name)
                .ok_or_else(|| LoadError::contract(format_args!("{export} has no function {name}")))
        };
        Ok(Self { settings: find("settings")?, check: find("check")?, rank: find("rank")? })
    }

    pub(super) fn settings(&self, instance: Instance, store: &mut Store<Guest>) -> wasmtime::Result<Vec<Setting>> {
        let function = instance.get_typed_func::<(), (Vec<Setting>,)>(&mut *store, self.settings)?;
        Ok(function.call(store, ())?.0)
    }

    pub(super) fn check(&self, instance: Instance, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        let function = instance.get_typed_func::<(), (Result<(), String>,)>(&mut *store, self.check)?;
        Ok(function.call(store, ())?.0)
    }

    pub(super) fn rank(
        &self,
        instance: Instance,
        store: &mut Store<Guest>,
    ) -> wasmtime::Result<Result<Vec<u32>, GuestRefusal>> {
        let function = instance.get_typed_func::<(), (Result<Vec<u32>, GuestRefusal>,)>(&mut *store, self.rank)?;
        Ok(function.call(store, ())?.0)
    }
}
