// Package schedule holds tests of the whole system while events that were sold are moved and canceled.
package schedule
