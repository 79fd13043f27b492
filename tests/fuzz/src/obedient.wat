;; Does what its question says. The column `memory-total` is its program: instructions of 16 bytes, each an operation and
;; three numbers of 4 bytes. The program lies at 4096, so that they can point into it.
(import "evenkeel:balancer/nodes@1.0.0" "memory-total" (func $program (param i32)))
(import "evenkeel:balancer/nodes@1.0.0" "label" (func $label (param i32 i32 i32)))
(import "evenkeel:balancer/nodes@1.0.0" "metric" (func $metric (param i32 i32 i32)))
(import "evenkeel:balancer/nodes@1.0.0" "addresses" (func $addresses (param i32)))
(import "evenkeel:balancer/request@1.0.0" "groups" (func $groups (param i32)))
(import "evenkeel:balancer/settings@1.0.0" "get" (func $get (param i32 i32 i32)))
(import "evenkeel:balancer/answer@1.0.0" "scores" (func $scores (param i32 i32)))
(import "evenkeel:balancer/answer@1.0.0" "reason" (func $reason (param i32 i32)))
(import "evenkeel:balancer/log@1.0.0" "info" (func $info (param i32 i32)))
(import "evenkeel:balancer/log@1.0.0" "error" (func $error (param i32 i32)))
(memory (export "memory") 4)
(func $rank (result i32)
  (local $at i32) (local $end i32) (local $a i32) (local $b i32) (local $c i32)
  (call $program (i32.const 128))
  (local.set $at (i32.load (i32.const 128)))
  (local.set $end (i32.add (local.get $at) (i32.shl (i32.load (i32.const 132)) (i32.const 3))))
  (loop $next
    (if (i32.gt_u (i32.add (local.get $at) (i32.const 16)) (local.get $end)) (then (return (i32.const 64))))
    (local.set $a (i32.load offset=4 (local.get $at)))
    (local.set $b (i32.load offset=8 (local.get $at)))
    (local.set $c (i32.load offset=12 (local.get $at)))
    (block $other
      (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7
      (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
        (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $other
          (i32.and (i32.load (local.get $at)) (i32.const 15))))
      ;; 0
      (i32.store (local.get $a) (local.get $b)) (br $other))
      ;; 1
      (i32.store8 (local.get $a) (local.get $b)) (br $other))
      ;; 2
      (call $scores (local.get $a) (local.get $b)) (br $other))
      ;; 3
      (call $reason (local.get $a) (local.get $b)) (br $other))
      ;; 4
      (call $info (local.get $a) (local.get $b)) (br $other))
      ;; 5
      (call $error (local.get $a) (local.get $b)) (br $other))
      ;; 6
      (call $get (local.get $a) (local.get $b) (local.get $c)) (br $other))
      ;; 7
      (call $label (local.get $a) (local.get $b) (local.get $c)) (br $other))
      ;; 8
      (call $metric (local.get $a) (local.get $b) (local.get $c)) (br $other))
      ;; 9
      (call $addresses (local.get $a)) (br $other))
      ;; 10
      (call $groups (local.get $a)) (br $other))
      ;; 11
      (memory.copy (local.get $a) (local.get $b) (local.get $c)) (br $other))
      ;; 12
      (drop (memory.grow (local.get $a))) (br $other))
      ;; 13
      (return (local.get $a)))
    (local.set $at (i32.add (local.get $at) (i32.const 16)))
    (br $next))
  (unreachable))
