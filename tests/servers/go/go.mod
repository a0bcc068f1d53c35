module ppshim.test

go 1.19
