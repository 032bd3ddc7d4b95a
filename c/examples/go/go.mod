module example.com/hh

go 1.19
