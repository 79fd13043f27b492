//! What wit-bindgen generates from the contract. Not public: the names in here change with wit-bindgen.

wit_bindgen::generate!({
    path: "wit",
    world: "balancer",
    pub_export_macro: true,
    default_bindings_module: "evenkeel_sdk::bindings",
});
