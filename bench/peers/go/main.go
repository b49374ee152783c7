// The same work as twin.c with cilium/ebpf:
//
//	cilium CGROUP PIN    reads lines "OPERATION COUNT", answers each with the nanoseconds that one took
//	cilium walk | first  lists all links, or one, and ends
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

const (
	links    = 10_000 // what a listing finds, if it is not cut short by a link that is being made
	attempts = 20     // how often it may be
	replace  = 4      // BPF_F_REPLACE
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cilium:", err)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func load() *ebpf.Program {
	return must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.CGroupSKB,
		AttachType:   ebpf.AttachCGroupInetEgress,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	}))
}

// infos reads the infos of up to limit links and returns of how many.
func infos(limit int) (int, error) {
	var all link.Iterator
	defer all.Close()
	count := 0
	for count < limit && all.Next() {
		if _, err := all.Link.Info(); err != nil {
			return count, err
		}
		count++
	}
	return count, all.Err()
}

func walk() {
	for range attempts {
		if count, err := infos(1 << 30); err == nil && count >= links {
			return
		}
	}
	check(fmt.Errorf("fewer than %d links", links))
}

func operations(cgroup int, pin string) map[string]func() {
	programs := [2]*ebpf.Program{load(), load()}
	create := func() *link.RawLink {
		return must(link.AttachRawLink(link.RawLinkOptions{
			Target: cgroup, Program: programs[0], Attach: ebpf.AttachCGroupInetEgress,
		}))
	}
	made, held := create(), 0
	id := must(made.Info()).ID
	// This one knows its type, and so what belongs to it.
	typed := must(link.NewFromID(id))
	return map[string]func(){
		"create_close": func() { check(create().Close()) },
		"create": func() {
			link := create()
			check(link.Detach())
			check(link.Close())
		},
		"update": func() {
			held ^= 1
			check(made.Update(programs[held]))
		},
		"update_expected": func() {
			old := programs[held]
			held ^= 1
			check(made.UpdateArgs(link.RawLinkUpdateOptions{New: programs[held], Old: old, Flags: replace}))
		},
		"info": func() {
			if info := must(typed.Info()); info.ID != id || info.Cgroup().CgroupId == 0 {
				os.Exit(1)
			}
		},
		"fd_by_id": func() { check(must(link.NewFromID(id)).Close()) },
		"pin": func() {
			check(made.Pin(pin))
			check(made.Unpin())
		},
		"open_pinned": func() { check(must(link.LoadPinnedLink(pin, nil)).Close()) },
		"walk":        walk,
	}
}

func main() {
	if len(os.Args) == 2 {
		if os.Args[1] == "first" {
			must(infos(1))
		} else {
			walk()
		}
		return
	}
	// An os.File that nobody refers to any more would be closed with the next garbage collection.
	cgroup := must(syscall.Open(os.Args[1], syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0))
	known := operations(cgroup, os.Args[2])
	var operation string
	var count int
	for {
		if _, err := fmt.Scanln(&operation, &count); err != nil {
			return
		}
		run, ok := known[operation]
		if !ok {
			fmt.Println("none")
			continue
		}
		start := time.Now()
		for range count {
			run()
		}
		fmt.Println(float64(time.Since(start).Nanoseconds()) / float64(count))
	}
}
