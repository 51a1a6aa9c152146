//go:build !dayof_production

package crash

const buildAllows = true
