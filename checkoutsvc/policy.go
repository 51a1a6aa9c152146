package checkoutsvc

import (
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Policy says who may call what. Buyers' methods are open here and check the order access token themselves.
func Policy() rpc.Policy {
	return rpc.Policy{
		checkoutv1connect.CheckoutServiceStartCheckoutProcedure:              rpc.RolePublic,
		checkoutv1connect.CheckoutServiceCompleteCheckoutProcedure:           rpc.RolePublic,
		checkoutv1connect.CheckoutServiceGetOrderProcedure:                   rpc.RolePublic,
		checkoutv1connect.CatalogServiceGetEventProcedure:                    rpc.RolePublic,
		checkoutv1connect.CatalogServiceListEventsProcedure:                  rpc.RolePublic,
		checkoutv1connect.CatalogServiceGetVariantProcedure:                  rpc.RolePublic,
		checkoutv1connect.CatalogServiceListVariantsProcedure:                rpc.RolePublic,
		checkoutv1connect.CatalogServiceCreateEventProcedure:                 rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateProductProcedure:               rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateVariantProcedure:               rpc.RoleOperator,
		checkoutv1connect.CatalogServiceCreateVariantVersionProcedure:        rpc.RoleOperator,
		checkoutv1connect.OrderServiceGetOrderDetailsProcedure:               rpc.RoleOperator,
		checkoutv1connect.SettlementServiceListOrderMoneyProcedure:           rpc.RoleOperator,
		checkoutv1connect.OrderServiceListOrdersProcedure:                    rpc.RoleOperator,
		checkoutv1connect.OrderServiceRefundOrderProcedure:                   rpc.RoleOperator,
		checkoutv1connect.OrderServiceRetryOrderProcedure:                    rpc.RoleOperator,
		checkoutv1connect.OrderServiceResendReceiptProcedure:                 rpc.RoleOperator,
		checkoutv1connect.OrderServiceAcceptPaymentProcedure:                 rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordPaymentProcedure:               rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordChargeProcedure:                rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordRefundProcedure:                rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordDisputeProcedure:               rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordFraudWarningProcedure:          rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordReviewProcedure:                rpc.RoleOperator,
		checkoutv1connect.PaymentServiceRecordSessionEndProcedure:            rpc.RoleOperator,
		checkoutv1connect.AccountServiceRecordAccountProcedure:               rpc.RoleOperator,
		checkoutv1connect.AccountServiceGetAccountProcedure:                  rpc.RoleOperator,
		checkoutv1connect.AccountServiceListAccountsProcedure:                rpc.RoleOperator,
		checkoutv1connect.AdmissionServiceCheckTicketProcedure:               rpc.RoleOperator,
		checkoutv1connect.AdmissionServiceGetCodeKeysProcedure:               rpc.RoleOperator,
		checkoutv1connect.OperationsServiceListReviewCasesProcedure:          rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceMoveEventProcedure:            rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceCancelEventProcedure:          rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceGetEventOperationProcedure:    rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceListEventOperationsProcedure:  rpc.RoleOperator,
		checkoutv1connect.EventOperationServicePauseEventOperationProcedure:  rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceResumeEventOperationProcedure: rpc.RoleOperator,
		checkoutv1connect.EventOperationServiceCancelEventOperationProcedure: rpc.RoleOperator,
		checkoutv1connect.OperationsServiceResolveReviewCaseProcedure:        rpc.RoleOperator,
		checkoutv1connect.OperationsServiceRaiseReviewCaseProcedure:          rpc.RoleOperator,
	}
}
