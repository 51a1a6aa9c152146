-- Reserved for work that is merged beside this one.
select;
