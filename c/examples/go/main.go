// Embeds two texts and continues a prompt: go run . MODEL PROMPT
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -lhh
#include "hh.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

// run calls the library on one system thread, so that the sentence of an error is that of the call.
func run(call func() int32) int32 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := call()
	if status < 0 {
		fmt.Fprintln(os.Stderr, "error:", C.GoString(C.hh_last_error()))
		os.Exit(2)
	}
	return status
}

func embed(texts []string) [][]float32 {
	var embedder *C.HhEmbedder
	run(func() int32 { return C.hh_embedder_open(nil, 0, &embedder) })
	defer C.hh_embedder_free(embedder)
	dim := int(C.hh_embedder_dim(embedder))
	all := make([]C.HhText, len(texts))
	for i, text := range texts {
		all[i] = C.HhText{data: C.CString(text), length: C.size_t(len(text))}
		defer C.free(unsafe.Pointer(all[i].data))
	}
	out := make([]float32, len(texts)*dim)
	run(func() int32 {
		return C.hh_embed(embedder, &all[0], C.size_t(len(all)), nil, (*C.float)(&out[0]), C.size_t(len(out)))
	})
	rows := make([][]float32, len(texts))
	for i := range rows {
		rows[i] = out[i*dim : (i+1)*dim]
	}
	return rows
}

func generate(path, prompt string, tokens int) {
	var model *C.HhModel
	var session *C.HhSession
	name, text := C.CString(path), C.CString(prompt)
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(text))
	run(func() int32 { return C.hh_model_open(name, 1, &model) })
	defer C.hh_model_free(model)
	run(func() int32 { return C.hh_session_new(model, 0, &session) })
	defer C.hh_session_free(session)
	run(func() int32 { return C.hh_session_prefill(session, text, C.size_t(len(prompt))) })
	options := C.hh_generate_options()
	options.max_tokens, options.temperature, options.seed = C.size_t(tokens), 0.8, 1
	run(func() int32 { return C.hh_session_generate(session, &options) })
	var piece C.HhText
	for run(func() int32 { return C.hh_session_next(session, &piece) }) == C.HH_OK {
		fmt.Print(C.GoStringN(piece.data, C.int(piece.length)))
	}
	fmt.Println()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run . MODEL PROMPT")
		os.Exit(2)
	}
	rows := embed([]string{"A cat sits on the mat.", "Where is the cat?"})
	cosine := float32(0)
	for i := range rows[0] {
		cosine += rows[0][i] * rows[1][i]
	}
	fmt.Printf("%.3f\n", cosine)
	generate(os.Args[1], os.Args[2], 100)
}
